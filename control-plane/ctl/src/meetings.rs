//! `meridianctl meetings`.

use crate::connection::{Caller, Link};
use crate::exit::Failure;
use crate::moment::{self, Moment};
use crate::output::{Output, note};
use crate::table::{Table, pairs};
use crate::text::{Colour, NONE, count, line, list};
use crate::{json, roster};
use clap::{Args, Subcommand};
use meridian_proto::v1::{
    CloseMeetingRequest, CreateMeetingRequest, GetMeetingRequest, GetRosterRequest,
    GetStatisticsRequest, GetStatisticsResponse, ListMeetingsRequest, Meeting, Roster,
    UpdateMeetingRequest,
};
use serde_json::json;
use std::collections::HashMap;

/// `meridianctl meetings`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a meeting.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List meetings that are not closed.
    List(ListArgs),
    /// Show a meeting, who is in it, and counts.
    Show(OneArgs),
    /// Change a meeting; what is not given stays.
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(UpdateArgs),
    /// Close a meeting: nobody joins any more, and its tokens become void.
    Close(OneArgs),
}

/// `meridianctl meetings create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Lower-case letters, digits and hyphens, as in council-2026.
    pub id: String,
    /// For people.
    #[arg(long)]
    pub title: String,
    /// The office whose organisers run it.
    #[arg(long)]
    pub office: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub terms: Terms,
}

/// When and for whom.
#[derive(Debug, Default, Args)]
pub struct Terms {
    /// When it opens (UTC), as in 2026-12-01T12:00Z or +2h; at once if not said.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub opens: Option<Moment>,
    /// When it closes by itself; never if not said.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub closes: Option<Moment>,
    /// Its languages, as in en,fr,ar.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub languages: Option<Vec<String>>,
    /// Countries whose edges may carry its media, as in CH,FR; all if not said.
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    pub countries: Option<Vec<String>>,
    /// Devices each participant may be there with at a time; the newest displaces the oldest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub sessions: Option<u32>,
}

/// `meridianctl meetings list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this office's.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub office: String,
    /// Closed ones too.
    #[arg(long)]
    pub all: bool,
}

/// A meeting.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The meeting's id.
    pub id: String,
}

/// `meridianctl meetings update`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").multiple(true).required(true)
    .args(["title", "opens", "closes", "languages", "countries", "sessions"]))]
pub struct UpdateArgs {
    /// The meeting's id.
    pub id: String,
    /// For people.
    #[arg(long)]
    pub title: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub terms: Terms,
}

impl Terms {
    /// Writes what is given into a meeting.
    fn apply(self, meeting: &mut Meeting, now_s: u64) {
        if let Some(opens) = self.opens {
            meeting.opens_at_s = opens.at_s(now_s);
        }
        if let Some(closes) = self.closes {
            meeting.closes_at_s = closes.at_s(now_s);
        }
        // `--languages ''` takes all away.
        let given = |words: Vec<String>| words.into_iter().filter(|word| !word.is_empty());
        if let Some(languages) = self.languages {
            meeting.languages = given(languages).collect();
        }
        if let Some(countries) = self.countries {
            meeting.countries = given(countries)
                .map(|code| code.to_ascii_uppercase())
                .collect();
        }
        if let Some(sessions) = self.sessions {
            meeting.sessions_per_participant = sessions;
        }
    }
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(command: Command, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let link = caller.link().await?;
    let now_s = moment::now_ms() / 1_000;
    match command {
        Command::Create(args) => {
            let meeting = create(&link, args, now_s).await?;
            note(&format!("meeting {} is made", meeting.id));
            print(&meeting, now_s, output)
        }
        Command::List(args) => list_all(&link, args, now_s, output).await,
        Command::Show(args) => show(&link, args.id, now_s, output).await,
        Command::Update(args) => {
            let meeting = update(&link, args, now_s).await?;
            note(&format!("meeting {} is changed", meeting.id));
            print(&meeting, now_s, output)
        }
        Command::Close(args) => {
            let request = CloseMeetingRequest { id: args.id };
            let answer = link.ask(link.meetings().close_meeting(request)).await?;
            let meeting = answer.meeting.unwrap_or_default();
            note(&format!("meeting {} is closed", meeting.id));
            print(&meeting, now_s, output)
        }
    }
}

async fn create(link: &Link, args: CreateArgs, now_s: u64) -> Result<Meeting, Failure> {
    let mut meeting = Meeting {
        id: args.id,
        title: args.title,
        office: args.office,
        ..Meeting::default()
    };
    args.terms.apply(&mut meeting, now_s);
    let request = CreateMeetingRequest {
        meeting: Some(meeting),
    };
    let answer = link.ask(link.meetings().create_meeting(request)).await?;
    Ok(answer.meeting.unwrap_or_default())
}

async fn update(link: &Link, args: UpdateArgs, now_s: u64) -> Result<Meeting, Failure> {
    let mut meeting = read(link, args.id).await?;
    if let Some(title) = args.title {
        meeting.title = title;
    }
    args.terms.apply(&mut meeting, now_s);
    let request = UpdateMeetingRequest {
        meeting: Some(meeting),
    };
    let answer = link.ask(link.meetings().update_meeting(request)).await?;
    Ok(answer.meeting.unwrap_or_default())
}

async fn read(link: &Link, id: String) -> Result<Meeting, Failure> {
    let request = GetMeetingRequest { id };
    let answer = link.ask(link.meetings().get_meeting(request)).await?;
    Ok(answer.meeting.unwrap_or_default())
}

async fn list_all(link: &Link, args: ListArgs, now_s: u64, output: &Output) -> Result<(), Failure> {
    let request = ListMeetingsRequest {
        office: args.office,
        with_closed: args.all,
    };
    let answer = link.ask(link.meetings().list_meetings(request)).await?;
    let table = || match answer.meetings.is_empty() {
        true => "no meetings\n".to_owned(),
        false => table(&answer.meetings, now_s).render(output.width()),
    };
    output.answer(table, || json::of(&answer))
}

async fn show(link: &Link, id: String, now_s: u64, output: &Output) -> Result<(), Failure> {
    let meeting = read(link, id.clone()).await?;
    let request = GetStatisticsRequest {
        meeting: id.clone(),
    };
    let statistics = link.ask(link.meetings().get_statistics(request)).await?;
    let request = GetRosterRequest { meeting: id };
    let answer = link.ask(link.meetings().get_roster(request)).await?;
    let roster = answer.roster.unwrap_or_default();
    output.answer(
        || details(&meeting, &statistics, &roster, now_s, output.width()),
        || {
            json!({
                "meeting": json::of(&meeting),
                "statistics": json::of(&statistics),
                "roster": json::of(&roster),
            })
        },
    )
}

fn print(meeting: &Meeting, now_s: u64, output: &Output) -> Result<(), Failure> {
    output.answer(
        || title(meeting) + &pairs(&facts(meeting, now_s)),
        || json::of(meeting),
    )
}

fn table(meetings: &[Meeting], now_s: u64) -> Table {
    let mut table = Table::new(&[
        "MEETING",
        "TITLE",
        "OFFICE",
        "STATE",
        "OPENS (UTC)",
        "CLOSES (UTC)",
    ]);
    for meeting in meetings {
        table.row([
            line(&meeting.id),
            line(&meeting.title),
            line(&meeting.office),
            phase(meeting, now_s),
            moment::minutes(meeting.opens_at_s),
            moment::minutes(meeting.closes_at_s),
        ]);
    }
    table
}

fn details(
    meeting: &Meeting,
    statistics: &GetStatisticsResponse,
    roster: &Roster,
    now_s: u64,
    width: Option<u16>,
) -> String {
    let GetStatisticsResponse {
        delegates,
        present,
        most_present,
        joins,
        ..
    } = statistics;
    let mut facts = facts(meeting, now_s);
    facts.push((
        "delegates",
        format!("{delegates} imported, {present} there now"),
    ));
    let joins = count(
        usize::try_from(*joins).unwrap_or(usize::MAX),
        "join",
        "joins",
    );
    facts.push((
        "this server",
        format!("{most_present} there at most, {joins}, since it started"),
    ));
    if *present > 0 {
        facts.push(("at offices", counts(&statistics.present_by_office)));
        facts.push(("delegations", counts(&statistics.present_by_delegation)));
    }
    let people = match roster.present.is_empty() {
        true => String::new(),
        false => format!("\n{}", roster::table(roster).render(width)),
    };
    title(meeting) + &pairs(&facts) + &people
}

fn title(meeting: &Meeting) -> String {
    format!("{}  {}\n", line(&meeting.id), line(&meeting.title))
}

fn facts(meeting: &Meeting, now_s: u64) -> Vec<(&'static str, String)> {
    let at = |s: u64, never: &str| match s {
        0 => never.to_owned(),
        s => format!("{} UTC", moment::minutes(s)),
    };
    let countries = match meeting.countries.is_empty() {
        true => "all".into(),
        false => list(&meeting.countries),
    };
    vec![
        ("office", line(&meeting.office)),
        ("state", phase(meeting, now_s)),
        ("opens", at(meeting.opens_at_s, "at once")),
        ("closes", at(meeting.closes_at_s, "by hand")),
        ("languages", list(&meeting.languages)),
        ("countries", countries),
        (
            "devices",
            format!("{} for each participant", meeting.sessions_per_participant),
        ),
    ]
}

fn phase(meeting: &Meeting, now_s: u64) -> String {
    let has_ended = meeting.closes_at_s != 0 && meeting.closes_at_s <= now_s;
    match meeting {
        meeting if meeting.is_closed || has_ended => Colour::Dim.on("closed"),
        meeting if meeting.opens_at_s > now_s => Colour::Yellow.on("opens later"),
        _ => Colour::Green.on("open"),
    }
}

/// The largest first.
fn counts(counts: &HashMap<String, u32>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let name = |name: &str| match name {
        "" => NONE.to_owned(),
        name => line(name),
    };
    let words: Vec<String> = counts
        .into_iter()
        .map(|(word, count)| format!("{} {count}", name(word)))
        .collect();
    list(&words)
}

const CREATE_EXAMPLES: &str = "\
Examples:
  meridianctl meetings create council --title \"Council 2026\" --office geneva \\
      --opens 2026-12-01T12:00Z --closes 2026-12-01T18:00Z --languages en,fr,ar
  meridianctl meetings create rcc-prep --title \"Preparation\" --office bangkok --opens +2h";

const UPDATE_EXAMPLES: &str = "\
Examples:
  meridianctl meetings update council --closes 2026-12-01T19:00Z
  meridianctl meetings update council --countries ''      (all countries again)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::paint;

    fn meeting() -> Meeting {
        Meeting {
            id: "council".into(),
            title: "Council 2026".into(),
            office: "geneva".into(),
            opens_at_s: 1_000,
            closes_at_s: 2_000,
            languages: vec!["en".into()],
            ..Meeting::default()
        }
    }

    #[test]
    fn a_meeting_is_open_between_its_times_unless_closed_by_hand() {
        let state = |meeting: &Meeting, now_s| paint(&phase(meeting, now_s), false);
        assert_eq!(state(&meeting(), 999), "opens later");
        assert_eq!(state(&meeting(), 1_000), "open");
        assert_eq!(state(&meeting(), 2_000), "closed");
        let closed = Meeting {
            is_closed: true,
            ..meeting()
        };
        assert_eq!(state(&closed, 1_500), "closed");
    }

    #[test]
    fn only_what_is_given_is_changed() {
        let mut changed = meeting();
        let terms = Terms {
            closes: Some(Moment::Never),
            countries: Some(vec!["ch".into(), "FR".into()]),
            languages: Some(vec![String::new()]),
            ..Terms::default()
        };
        terms.apply(&mut changed, 5);
        assert_eq!(changed.opens_at_s, 1_000);
        assert_eq!(changed.closes_at_s, 0);
        assert_eq!(changed.countries, ["CH", "FR"]);
        assert!(changed.languages.is_empty());
    }

    #[test]
    fn meetings_fit_a_terminal() {
        let text = paint(&table(&[meeting()], 1_500).render(Some(80)), false);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            text.contains("council  Council 2026  geneva  open   1970-01-01 00:16"),
            "{text}"
        );
    }

    #[test]
    fn the_largest_delegations_come_first() {
        let counted = [("Chad", 1), ("Kenya", 3), ("", 1)];
        let counted = counted.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counts(&counted.into()), "Kenya 3, – 1, Chad 1");
    }
}
