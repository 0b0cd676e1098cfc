//! `meridian-wan`: a wide-area link in user space, for one UDP target on this machine.
//!
//! Prints JSON lines: where it listens, then its counters whenever asked and at the end. Commands
//! (see `--help`) come in on standard input and on a TCP port.

use std::{net::SocketAddr, rc::Rc};

use anyhow::{Context, Result};
use clap::Parser;
use meridian_loadtest::wan::{Changes, Command, Emulator, EmulatorConfig, LinkParams, Stats};
use serde_json::{Value, json};
use std::io::Write as _;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::LocalSet,
};

/// Forwards UDP datagrams to a target through an emulated wide-area link.
///
/// A link is written as `delay=79ms,jitter=10ms,loss=1%,burst=4,rate=20mbit,queue=256k,
/// duplicate=0.1%,reorder=1%,reorder-by=25ms`; what is left out is perfect. Commands, one a line,
/// each answered with one line of JSON: `set [up|down|both] LINK`, `blackhole on|off
/// [up|down|both]`, `rebind` (new addresses towards the target, as a NAT does), `stats`, `quit`.
#[derive(Parser)]
struct Args {
    /// Where clients send to; port 0 picks a free one and is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where their datagrams go.
    #[arg(long)]
    target: SocketAddr,
    /// Both directions.
    #[arg(long, default_value = "")]
    link: Changes,
    /// From clients to the target, on top of --link.
    #[arg(long, default_value = "")]
    up: Changes,
    /// From the target to clients, on top of --link.
    #[arg(long, default_value = "")]
    down: Changes,
    /// Makes losses and jitter repeatable; random when left out, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// TCP address for commands, such as 127.0.0.1:0; none when left out.
    #[arg(long)]
    control: Option<SocketAddr>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = LocalSet::new().block_on(&runtime, run(args));
    // A read of standard input cannot be cancelled; without this the process would wait for it.
    runtime.shutdown_background();
    result
}

async fn run(args: Args) -> Result<()> {
    let emulator = Emulator::spawn(config(&args)).context("cannot listen for datagrams")?;
    let shared = Rc::new(Shared {
        emulator,
        quit: Notify::new(),
    });
    let control = listen_for_commands(args.control).await?;
    let stats = shared.emulator.stats()?;
    print_line(&json!({
        "kind": "listening",
        "listen": stats.listen,
        "target": stats.target,
        "control": control.as_ref().map(TcpListener::local_addr).transpose()?,
        "seed": stats.seed,
    }));
    if let Some(listener) = control {
        tokio::task::spawn_local(accept_commands(listener, shared.clone()));
    }
    tokio::task::spawn_local(converse(
        tokio::io::stdin(),
        tokio::io::stdout(),
        shared.clone(),
    ));
    wait_for_end(&shared).await?;
    print_line(&stats_line(&shared.emulator.stats()?));
    Ok(())
}

struct Shared {
    emulator: Emulator,
    quit: Notify,
}

fn config(args: &Args) -> EmulatorConfig {
    let direction = |changes: &Changes| {
        let mut params = LinkParams::default();
        params.apply(&args.link);
        params.apply(changes);
        params
    };
    EmulatorConfig {
        listen: args.listen,
        target: args.target,
        up: direction(&args.up),
        down: direction(&args.down),
        seed: args.seed.unwrap_or_else(rand::random),
    }
}

async fn listen_for_commands(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .context("cannot listen for commands")?;
    Ok(Some(listener))
}

async fn accept_commands(listener: TcpListener, shared: Rc<Shared>) {
    // An owner or two: connections need no limit of their own beyond the accept error.
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(serve_connection(stream, shared.clone()));
    }
}

async fn serve_connection(mut stream: TcpStream, shared: Rc<Shared>) {
    let (input, output) = stream.split();
    converse(input, output, shared).await;
}

/// Answers each command line with a line of JSON until the input or the output ends.
async fn converse(
    input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    shared: Rc<Shared>,
) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = String::new();
        match (&mut input).take(MAX_LINE).read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim() == "quit" => return shared.quit.notify_one(),
            Ok(_) => {}
        }
        let answer = format!("{}\n", answer(&line, &shared.emulator));
        if output.write_all(answer.as_bytes()).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

/// Blocks for the emulator's turn, microseconds, which this thread has nothing better to do with.
fn answer(line: &str, emulator: &Emulator) -> Value {
    match line.parse::<Command>() {
        Err(error) => json!({ "kind": "error", "error": error.to_string() }),
        Ok(command) => match emulator.request(command) {
            Ok(stats) => stats_line(&stats),
            Err(error) => json!({ "kind": "error", "error": error.to_string() }),
        },
    }
}

fn stats_line(stats: &Stats) -> Value {
    let mut line = serde_json::to_value(stats).expect("counters are plain data");
    line["kind"] = "stats".into();
    line
}

fn print_line(line: &Value) {
    // Nobody may be reading any more; the link goes on.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn wait_for_end(shared: &Shared) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = shared.quit.notified() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Longer than any command; a line beyond it is answered with an error.
const MAX_LINE: u64 = 1024;
