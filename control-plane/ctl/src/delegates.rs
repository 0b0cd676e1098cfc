//! `meridianctl delegates`.

use crate::connection::{Caller, Link};
use crate::exit::{ExitCode, Failure};
use crate::output::{Output, note};
use crate::table::Table;
use crate::text::{Colour, NONE, count, line};
use crate::{json, moment};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use meridian_proto::v1::{
    Delegate, ImportDelegatesRequest, Invitation, InviteDelegatesRequest, ListDelegatesRequest,
    RevokeDelegateRequest, Role,
};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `meridianctl delegates`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add delegates from a file, or change those that are known; all of them or none.
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// List a meeting's delegates.
    List(ListArgs),
    /// Make personal links.
    #[command(after_help = INVITE_EXAMPLES)]
    Invite(InviteArgs),
    /// Make a delegate's links and tokens void at once. `invite --renew` gives access back.
    Revoke(RevokeArgs),
}

/// `meridianctl delegates import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The meeting's id.
    pub meeting: String,
    /// The registration system's export (CSV, UTF-8, with a header line); - for standard input.
    pub file: PathBuf,
}

/// `meridianctl delegates list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The meeting's id.
    pub meeting: String,
}

/// `meridianctl delegates invite`.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// The meeting's id.
    pub meeting: String,
    /// Whom for; everybody whose access was not taken away if nobody is named.
    #[arg(value_name = "DELEGATE")]
    pub delegates: Vec<String>,
    /// How long the links are good, as in 7d; until the meeting closes if not said, 30 days at most.
    #[arg(long, value_name = "TIME", value_parser = moment::span)]
    pub valid: Option<Duration>,
    /// Make links and tokens made before void.
    #[arg(long)]
    pub renew: bool,
    /// Write a CSV file for a mail merge instead, which only you may read; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// `meridianctl delegates revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The meeting's id.
    pub meeting: String,
    /// The participant's id.
    pub delegate: String,
}

/// Does it.
///
/// # Errors
/// As the server says; a file cannot be read or written.
pub async fn run(command: Command, caller: &Caller, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Import(args) => import(args, caller, output).await,
        Command::List(args) => list(&caller.link().await?, args, output).await,
        Command::Invite(args) => invite(&caller.link().await?, args, output).await,
        Command::Revoke(args) => revoke(&caller.link().await?, args, output).await,
    }
}

async fn import(args: ImportArgs, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let unusable = |error: anyhow::Error| Failure::new(ExitCode::Data, error);
    let csv = contents(&args.file).map_err(unusable)?;
    if csv.is_empty() {
        return Err(unusable(anyhow!("{}: it is empty", args.file.display())));
    }
    let link = caller.link().await?;
    let request = ImportDelegatesRequest {
        meeting: args.meeting.clone(),
        delegates: Vec::new(),
        csv: csv.into(),
    };
    let answer = link.ask(link.meetings().import_delegates(request)).await;
    let answer = answer.map_err(|failure| match failure.code {
        ExitCode::Usage => {
            let file = args.file.display();
            let wrong = format!("nothing was imported from {file}:\n{failure}");
            Failure::said(ExitCode::Data, wrong)
        }
        _ => failure,
    })?;
    let all = count(answer.delegates.len(), "delegate", "delegates");
    let done = format!(
        "{all} imported into {}, {} of them new",
        args.meeting, answer.added
    );
    note(&done);
    output.answer(
        || table(&answer.delegates).render(output.width()),
        || json::of(&answer),
    )
}

async fn list(link: &Link, args: ListArgs, output: &Output) -> Result<(), Failure> {
    let request = ListDelegatesRequest {
        meeting: args.meeting,
    };
    let answer = link.ask(link.meetings().list_delegates(request)).await?;
    let page = || match answer.delegates.is_empty() {
        true => "no delegates\n".to_owned(),
        false => table(&answer.delegates).render(output.width()),
    };
    output.answer(page, || json::of(&answer))
}

async fn invite(link: &Link, args: InviteArgs, output: &Output) -> Result<(), Failure> {
    let request = InviteDelegatesRequest {
        meeting: args.meeting,
        delegates: args.delegates,
        valid_s: args.valid.map_or(0, |valid| valid.as_secs()),
        renew: args.renew,
    };
    let answer = link.ask(link.meetings().invite_delegates(request)).await?;
    let made = count(answer.invitations.len(), "link", "links");
    if let (Some(valid), Some(first)) = (args.valid, answer.invitations.first())
        && let Some(cut) = moment::cut_short(valid, first.expires_at_s, moment::now_ms() / 1_000)
    {
        note(&cut);
    }
    match args.csv {
        Some(path) if path == Path::new("-") => output.raw(&mail_merge(&answer.invitations)?),
        Some(path) => {
            let text = mail_merge(&answer.invitations)?;
            let written = write_secret(&path, &text).with_context(|| path.display().to_string());
            written.map_err(|error| Failure::new(ExitCode::Output, error))?;
            note(&format!("{made} written to {}", path.display()));
            Ok(())
        }
        None => output.answer(|| links(&answer.invitations), || json::of(&answer)),
    }
}

async fn revoke(link: &Link, args: RevokeArgs, output: &Output) -> Result<(), Failure> {
    let request = RevokeDelegateRequest {
        meeting: args.meeting.clone(),
        delegate: args.delegate.clone(),
    };
    let answer = link.ask(link.meetings().revoke_delegate(request)).await?;
    let RevokeArgs { meeting, delegate } = args;
    output.done(
        &format!("links and tokens of {delegate} for {meeting} are void"),
        || json::of(&answer),
    )
}

fn table(delegates: &[Delegate]) -> Table {
    let mut table = Table::new(&[
        "DELEGATE",
        "NAME",
        "DELEGATION",
        "ROLE",
        "COUNTRY",
        "LANGUAGES",
        "ACCESS",
    ]);
    for delegate in delegates {
        let country = match delegate.country.as_str() {
            "" => NONE.into(),
            country => line(country),
        };
        table.row([
            line(&delegate.id),
            line(&delegate.name),
            line(&delegate.delegation),
            role(delegate).into(),
            country,
            crate::text::list(&delegate.languages),
            match delegate.is_revoked {
                true => Colour::Red.on("revoked"),
                false => Colour::Green.on("good"),
            },
        ]);
    }
    table
}

/// A delegate's role in a word, with the list of speakers.
pub fn role(delegate: &Delegate) -> &'static str {
    match delegate.role() {
        Role::Unspecified => NONE,
        Role::Delegate if delegate.is_listed_speaker => "speaker",
        Role::Delegate => "delegate",
        Role::Chair => "chair",
        Role::Interpreter => "interpreter",
        Role::Captioner => "captioner",
        Role::Moderator => "moderator",
        Role::Listener => "listener",
    }
}

/// Each link on a line of its own, so that it can be copied.
fn links(invitations: &[Invitation]) -> String {
    let mut text = String::new();
    for invitation in invitations {
        let delegate = invitation.delegate.clone().unwrap_or_default();
        let until = moment::minutes(invitation.expires_at_s);
        text += &format!(
            "{}  {}, until {until} UTC\n{}\n",
            line(&delegate.id),
            line(&delegate.name),
            line(link(invitation)),
        );
    }
    text
}

fn mail_merge(invitations: &[Invitation]) -> Result<String, Failure> {
    let failed = |error: String| Failure::said(ExitCode::Failed, error);
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: [&str; 7]| csv.write_record(fields.map(harmless));
    write([
        "id",
        "name",
        "email",
        "delegation",
        "role",
        "link",
        "expires_at",
    ])
    .map_err(|error| failed(error.to_string()))?;
    for invitation in invitations {
        let delegate = invitation.delegate.clone().unwrap_or_default();
        let expires = moment::rfc3339(i128::from(invitation.expires_at_s) * 1_000_000_000);
        write([
            &delegate.id,
            &delegate.name,
            &delegate.email,
            &delegate.delegation,
            role(&delegate),
            link(invitation),
            &expires.unwrap_or_default(),
        ])
        .map_err(|error| failed(error.to_string()))?;
    }
    let bytes = csv
        .into_inner()
        .map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// The page to open; the bare invitation if the server knows no page.
fn link(invitation: &Invitation) -> &str {
    match invitation.url.as_str() {
        "" => &invitation.invitation,
        url => url,
    }
}

/// A field that no spreadsheet takes for a formula.
fn harmless(field: &str) -> String {
    match field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{field}"),
        false => field.to_owned(),
    }
}

fn contents(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.context("standard input")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| path.display().to_string())
}

/// Whoever has a link can come in by it: the file is its owner's from the first byte.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = file?;
    if file.metadata()?.is_file() {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all().or_else(|error| match error.kind() {
        // Pipes and devices cannot be synced.
        io::ErrorKind::InvalidInput => Ok(()),
        _ => Err(error),
    })
}

const IMPORT_HELP: &str = "\
The columns: name, delegation, category, role, sector, email, country; also id, listed_speaker, languages.
Roles: delegate, chair, interpreter, captioner, moderator, listener. If a line is wrong, every wrong line is told, and
nothing is imported.

Example:
  meridianctl delegates import council registration.csv";

const INVITE_EXAMPLES: &str = "\
Examples:
  meridianctl delegates invite council --csv links.csv
  meridianctl delegates invite council keiko-tanaka --valid 7d
  meridianctl delegates invite council keiko-tanaka --renew     (her old link becomes void)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::paint;
    use std::os::unix::fs::PermissionsExt;

    fn delegate() -> Delegate {
        Delegate {
            id: "keiko-tanaka".into(),
            name: "Keiko Tanaka".into(),
            delegation: "Japan".into(),
            role: Role::Interpreter.into(),
            country: "JP".into(),
            languages: vec!["en".into(), "fr".into()],
            is_revoked: true,
            ..Delegate::default()
        }
    }

    fn invitation() -> Invitation {
        Invitation {
            delegate: Some(delegate()),
            invitation: "SECRET".into(),
            url: "https://meet.example.org/#SECRET".into(),
            expires_at_s: 1_796_126_400,
        }
    }

    #[test]
    fn delegates_fit_a_terminal() {
        let text = paint(&table(&[delegate()]).render(Some(80)), false);
        assert!(text.contains("keiko-tanaka"), "{text}");
        assert!(text.contains("revoked"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }

    #[test]
    fn links_stand_on_lines_of_their_own() {
        assert_eq!(
            links(&[invitation()]),
            "keiko-tanaka  Keiko Tanaka, until 2026-12-01 12:00 UTC\nhttps://meet.example.org/#SECRET\n"
        );
        let bare = Invitation {
            url: String::new(),
            ..invitation()
        };
        assert!(links(&[bare]).ends_with("\nSECRET\n"));
    }

    #[test]
    fn a_mail_merge_has_no_formulas_in_it() {
        let mut invitation = invitation();
        invitation.delegate = Some(Delegate {
            name: "=cmd()".into(),
            delegation: "Bosnia, Herzegovina".into(),
            ..delegate()
        });
        let csv = mail_merge(&[invitation]).expect("it can be written");
        assert_eq!(
            csv.lines().nth(1),
            Some(
                "keiko-tanaka,'=cmd(),,\"Bosnia, Herzegovina\",interpreter,https://meet.example.org/#SECRET,2026-12-01T12:00:00Z"
            )
        );
    }

    #[test]
    fn only_their_owner_may_read_links() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("links.csv");
        fs::write(&path, "there before, and longer").expect("there is room");
        write_secret(&path, "links").expect("it can be written");
        let metadata = fs::metadata(&path).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "links");
    }
}
