//! `meridianctl keys`.

use crate::connection::Caller;
use crate::exit::Failure;
use crate::json;
use crate::output::Output;
use crate::text::line;
use clap::Subcommand;
use meridian_proto::v1::RotateKeysRequest;

/// `meridianctl keys`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin to sign with the next key now. Tokens of the old one stay good until they expire.
    Rotate,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(command: Command, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let Command::Rotate = command;
    let link = caller.link().await?;
    let answer = link
        .ask(link.ops().rotate_keys(RotateKeysRequest {}))
        .await?;
    let done = format!("media tokens are signed with key {} now", line(&answer.key));
    output.done(&done, || json::of(&answer))
}
