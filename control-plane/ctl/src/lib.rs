//! What `meridianctl` does. A file for each noun has its command line, its calls, and what is printed; the last is pure.

pub mod access;
pub mod audit;
pub mod cli;
pub mod completion;
pub mod connection;
pub mod delegates;
pub mod edges;
pub mod exit;
pub mod json;
pub mod keys;
pub mod meetings;
pub mod moment;
pub mod output;
pub mod roster;
pub mod settings;
pub mod status;
pub mod table;
pub mod text;
pub mod topology;
pub mod tree;
pub mod why;

use cli::{Cli, Command};
use connection::Caller;
use exit::Failure;
use output::Output;

/// Does what the command line says.
///
/// # Errors
/// What to print, and the code to end with.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output::new(cli.common.output, cli.common.no_colour);
    let caller = match &cli.command {
        // It is needed before there is anything to connect to.
        Command::Completion(args) => return completion::run(args, &output),
        _ => Caller::new(cli.common.settings()?),
    };
    match cli.command {
        Command::Meetings(command) => meetings::run(command, &caller, &output).await,
        Command::Delegates(command) => delegates::run(command, &caller, &output).await,
        Command::Roster(args) => roster::run(args, &caller, &output).await,
        Command::Edges(command) => edges::run(command, &caller, &output).await,
        Command::Topology(command) => topology::run(command, &caller, &output).await,
        Command::Why(args) => why::run(args, &caller, &output).await,
        Command::Audit(args) => audit::run(args, &caller, &output).await,
        Command::Access(command) => access::run(command, &caller, &output).await,
        Command::Keys(command) => keys::run(command, &caller, &output).await,
        Command::Status => status::run(&caller, &output).await,
        Command::Completion(_) => Ok(()),
    }
}
