//! `meridianctl access`.

use crate::connection::{Caller, Link};
use crate::exit::Failure;
use crate::output::{Output, note};
use crate::{json, moment};
use clap::{Args, Subcommand};
use meridian_proto::v1::{IssueAccessRequest, RevokeAccessRequest};
use serde_json::json;
use std::time::Duration;

/// `meridianctl access`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a token for an organiser or operator. Hand it over as you would a password.
    #[command(after_help = EXAMPLES)]
    Issue(IssueArgs),
    /// Make all tokens of an organiser or operator void.
    Revoke(RevokeArgs),
}

/// `meridianctl access issue`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("part").required(true).args(["operator", "offices"]))]
pub struct IssueArgs {
    /// Whose: a name or e-mail address, as the audit log will have it.
    #[arg(long)]
    pub subject: String,
    /// May do everything.
    #[arg(long)]
    pub operator: bool,
    /// An organiser of these offices, as in bangkok,jakarta.
    #[arg(long, value_delimiter = ',')]
    pub offices: Vec<String>,
    /// How long it is good, 90d at most.
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = moment::span)]
    pub valid: Duration,
}

/// `meridianctl access revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Whose.
    pub subject: String,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(command: Command, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let link = caller.link().await?;
    match command {
        Command::Issue(args) => issue(&link, args, output).await,
        Command::Revoke(args) => {
            let subject = args.subject.clone();
            let request = RevokeAccessRequest { subject };
            link.ask(link.ops().revoke_access(request)).await?;
            let done = format!("all tokens of {} are void", args.subject);
            output.done(&done, || json!({ "subject": args.subject }))
        }
    }
}

async fn issue(link: &Link, args: IssueArgs, output: &Output) -> Result<(), Failure> {
    let request = IssueAccessRequest {
        subject: args.subject.clone(),
        is_operator: args.operator,
        offices: args.offices,
        valid_s: args.valid.as_secs(),
    };
    let answer = link.ask(link.ops().issue_access(request)).await?;
    let now_s = moment::now_ms() / 1_000;
    if let Some(cut) = moment::cut_short(args.valid, answer.expires_at_s, now_s) {
        note(&cut);
    }
    let until = moment::minutes(answer.expires_at_s);
    note(&format!("a token for {}, until {until} UTC", args.subject));
    output.answer(|| format!("{}\n", answer.token), || json::of(&answer))
}

const EXAMPLES: &str = "\
Examples:
  meridianctl access issue --subject ann@example.org --offices bangkok,jakarta --valid 30d
  (umask 077; meridianctl access issue --subject ops --operator > token)";
