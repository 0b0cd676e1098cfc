//! `meridian-wan`: wide-area links in user space, for one UDP target on this machine or many.
//!
//! Prints JSON lines: where it listens, then its counters whenever asked and at the end. Commands
//! (see `--help`) come in on standard input and on a TCP port.

use std::{fs, net::SocketAddr, path::PathBuf, rc::Rc};

use anyhow::{Context, Result};
use clap::Parser;
use meridian_loadtest::wan::{Changes, Command, Emulator, EmulatorConfig, LinkParams, Network};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
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
///
/// With --links there are many, a line of the file each: `NAME LISTEN TARGET LINK`. Commands begin
/// with a name then, as in `geneva>cairo blackhole on`; `all` is every link, and one `*` in a name
/// stands for anything.
#[derive(Parser)]
struct Args {
    /// Many links, from this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "target", "link", "up", "down"])]
    links: Option<PathBuf>,
    /// Where clients send to; port 0 picks a free one and is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where their datagrams go.
    #[arg(long, required_unless_present = "links")]
    target: Option<SocketAddr>,
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
    let control = listen_for_commands(args.control).await?;
    let at = control.as_ref().map(TcpListener::local_addr).transpose()?;
    let links = match (&args.links, args.target) {
        (Some(file), _) => open_many(file, &args, at)?,
        (None, Some(target)) => open_one(target, &args, at)?,
        (None, None) => unreachable!("one of them is required"),
    };
    let shared = Rc::new(Shared {
        links,
        quit: Notify::new(),
    });
    if let Some(listener) = control {
        tokio::task::spawn_local(accept_commands(listener, shared.clone()));
    }
    tokio::task::spawn_local(converse(
        tokio::io::stdin(),
        tokio::io::stdout(),
        shared.clone(),
    ));
    wait_for_end(&shared).await?;
    print_line(&shared.links.summary()?);
    Ok(())
}

fn open_one(target: SocketAddr, args: &Args, control: Option<SocketAddr>) -> Result<Links> {
    let emulator = Emulator::spawn(config(target, args)).context("cannot listen for datagrams")?;
    let stats = emulator.stats()?;
    print_line(&json!({
        "kind": "listening",
        "listen": stats.listen,
        "target": stats.target,
        "control": control,
        "seed": stats.seed,
    }));
    Ok(Links::One(emulator))
}

fn open_many(file: &PathBuf, args: &Args, control: Option<SocketAddr>) -> Result<Links> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let lines = Network::read(&text).with_context(|| file.display().to_string())?;
    allow_many_files();
    let mut network = Network::default();
    let first = args.seed.unwrap_or_else(rand::random);
    for (number, line) in (0..).zip(lines) {
        let name = line.name.clone();
        // Both directions of a link have one.
        let seed = first.wrapping_add(2 * number);
        let opened = network.open(line, seed);
        let stats = opened.with_context(|| format!("cannot listen for datagrams of {name}"))?;
        print_line(&json!({
            "kind": "listening",
            "link": name,
            "listen": stats.listen,
            "target": stats.target,
            "seed": stats.seed,
        }));
    }
    print_line(&json!({ "kind": "ready", "control": control, "seed": first }));
    Ok(Links::Many(network))
}

/// Each link has a handful of sockets, and each of its clients one.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it is refused, a link that cannot be opened says so.
    let _ = setrlimit(Resource::Nofile, raised);
}

struct Shared {
    links: Links,
    quit: Notify,
}

enum Links {
    One(Emulator),
    Many(Network),
}

impl Links {
    /// Blocks for the emulators' turn, microseconds each, which this thread has nothing better to do with.
    fn answer(&self, line: &str) -> Value {
        match self {
            Self::One(emulator) => match line.parse::<Command>() {
                Ok(command) => match emulator.request(command) {
                    Ok(stats) => stats_line(&stats),
                    Err(error) => error_line(&error),
                },
                Err(error) => error_line(&error),
            },
            Self::Many(network) => match network.carry_out(line) {
                Ok(answer) => {
                    let mut answer = stats_line(&answer);
                    answer["link"] = line.split_whitespace().next().into();
                    answer
                }
                Err(error) => error_line(&error),
            },
        }
    }

    fn summary(&self) -> Result<Value> {
        Ok(match self {
            Self::One(emulator) => stats_line(&emulator.stats()?),
            Self::Many(network) => stats_line(&network.sum()?),
        })
    }
}

fn config(target: SocketAddr, args: &Args) -> EmulatorConfig {
    let direction = |changes: &Changes| {
        let mut params = LinkParams::default();
        params.apply(&args.link);
        params.apply(changes);
        params
    };
    EmulatorConfig {
        listen: args.listen,
        target,
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
        let answer = format!("{}\n", shared.links.answer(&line));
        if output.write_all(answer.as_bytes()).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

fn stats_line(stats: &impl Serialize) -> Value {
    let mut line = serde_json::to_value(stats).expect("counters are plain data");
    line["kind"] = "stats".into();
    line
}

fn error_line(error: &impl ToString) -> Value {
    json!({ "kind": "error", "error": error.to_string() })
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
