//! Delegates: imported, named, told.

use super::roster::Known;
use super::{Service, own_meeting};
use crate::caller::Caller;
use crate::plane::Plane;
use crate::records::{DelegateRecord, key};
use meridian_control_core::people::{self, Columns, Row};
use meridian_proto::v1::{Delegate, ImportDelegatesRequest, ImportDelegatesResponse, Role};
use tonic::Status;

/// Delegates written in one transaction, with a guard, a revocation and the log beside.
pub(super) const AT_ONCE: usize = 40;
/// The largest file, in bytes.
const MAX_CSV: usize = 4 << 20;
/// The most delegates of one call.
const MAX_DELEGATES: usize = 10_000;

/// All delegates of a meeting.
pub(super) fn all(plane: &Plane, meeting: &str) -> Known {
    let records = plane.records::<DelegateRecord>(&key::delegates(meeting));
    let known = records
        .into_iter()
        .filter_map(|(id, record, _)| record.to_core(&id));
    known
        .map(|delegate| (delegate.id.clone(), delegate))
        .collect()
}

/// NOT_FOUND for a delegate nobody has imported.
pub(crate) fn no_delegate(id: &str, meeting: &str) -> Status {
    Status::not_found(format!("`{id}` is no delegate of {meeting}"))
}

/// Those with these ids.
pub(super) fn named(
    all: &Known,
    ids: &[String],
    meeting: &str,
) -> Result<Vec<people::Delegate>, Status> {
    let of = |id: &String| {
        let delegate = all.get(id.as_str()).cloned();
        delegate.ok_or_else(|| no_delegate(id, meeting))
    };
    ids.iter().map(of).collect()
}

impl Service {
    /// Imports a file or a list. Everything is checked first, and nothing is written if anything is wrong.
    pub(super) async fn import(
        &self,
        caller: &Caller,
        request: &ImportDelegatesRequest,
    ) -> Result<ImportDelegatesResponse, Status> {
        let (meeting, _) = own_meeting(&self.0, caller, &request.meeting)?;
        let (columns, rows) = match request.csv.is_empty() {
            true => rows_of(&request.delegates)?,
            false => rows_in(&request.csv)?,
        };
        let existing = all(&self.0, &request.meeting);
        let imported = people::import(&columns, &rows, &existing, &meeting.languages);
        let imported = imported.map_err(|errors| Status::invalid_argument(errors.to_string()))?;
        let is_new = |delegate: &&people::Delegate| !existing.contains_key(&delegate.id);
        let added = imported.iter().filter(is_new).count() as u32;
        for (bunch, done) in imported.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
            let written = self.write_down(caller, &request.meeting, bunch).await;
            written.map_err(|status| {
                let all = imported.len();
                let why = status.message();
                Status::new(
                    status.code(),
                    format!("{done} of {all} delegates were imported, then: {why}. Import the same again."),
                )
            })?;
        }
        Ok(ImportDelegatesResponse {
            delegates: imported.iter().map(out).collect(),
            added,
        })
    }

    async fn write_down(
        &self,
        caller: &Caller,
        meeting: &str,
        bunch: &[people::Delegate],
    ) -> Result<(), Status> {
        let change = self.0.change(|decision| {
            self.read(decision, caller, meeting)?;
            for delegate in bunch {
                let key = key::delegate(meeting, delegate.id.as_str());
                let before: Option<DelegateRecord> = decision.read(&key);
                let mut record = DelegateRecord::from_core(delegate);
                if let Some(before) = before {
                    // Neither gives an import access back, nor takes it away.
                    record.generation = before.generation;
                    record.is_revoked = before.is_revoked;
                }
                decision.put(key, &record);
            }
            let who: Vec<&str> = bunch.iter().map(|delegate| delegate.id.as_str()).collect();
            decision.audit(caller, "ImportDelegates", meeting, who.join(" "));
            Ok(())
        });
        change.await?;
        Ok(())
    }
}

fn rows_in(text: &[u8]) -> Result<(Columns, Vec<Row>), Status> {
    if text.len() > MAX_CSV {
        return Err(Status::invalid_argument(
            "the file is larger than 4 MiB: import it in parts",
        ));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let unreadable = |error: csv::Error| {
        Status::invalid_argument(format!("the file is no CSV in UTF-8: {error}"))
    };
    let header: Vec<String> = reader
        .headers()
        .map_err(unreadable)?
        .iter()
        .map(str::to_owned)
        .collect();
    let columns = Columns::from_header(&header);
    let columns = columns.map_err(|errors| Status::invalid_argument(errors.to_string()))?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        rows.push(Row {
            line: record.position().map_or(0, csv::Position::line),
            fields: record.iter().map(str::to_owned).collect(),
        });
    }
    Ok((columns, rows))
}

/// A list as the lines of a file, so that both are checked alike. An entry's number is its line.
fn rows_of(delegates: &[Delegate]) -> Result<(Columns, Vec<Row>), Status> {
    if delegates.len() > MAX_DELEGATES {
        return Err(Status::invalid_argument(
            "more than 10,000 delegates: import them in parts",
        ));
    }
    let columns = Columns::from_header(&HEADER);
    let columns = columns.map_err(|errors| Status::internal(errors.to_string()))?;
    let row = |(delegate, line): (&Delegate, u64)| Row {
        line,
        fields: vec![
            delegate.id.clone(),
            delegate.name.clone(),
            delegate.delegation.clone(),
            delegate.category.clone(),
            role_in(delegate.role()).to_owned(),
            delegate.sector.clone(),
            delegate.email.clone(),
            delegate.country.clone(),
            if delegate.is_listed_speaker {
                "yes"
            } else {
                "no"
            }
            .to_owned(),
            delegate.languages.join(" "),
        ],
    };
    Ok((columns, delegates.iter().zip(1..).map(row).collect()))
}

const HEADER: [&str; 10] = [
    "id",
    "name",
    "delegation",
    "category",
    "role",
    "sector",
    "email",
    "country",
    "listed_speaker",
    "languages",
];

fn role_in(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "",
        Role::Delegate => "delegate",
        Role::Chair => "chair",
        Role::Interpreter => "interpreter",
        Role::Captioner => "captioner",
        Role::Moderator => "moderator",
        Role::Listener => "listener",
    }
}

/// A role as the contract has it.
pub(crate) fn role_out(role: people::Role) -> Role {
    match role {
        people::Role::Delegate => Role::Delegate,
        people::Role::Chair => Role::Chair,
        people::Role::Interpreter => Role::Interpreter,
        people::Role::Captioner => Role::Captioner,
        people::Role::Moderator => Role::Moderator,
        people::Role::Listener => Role::Listener,
    }
}

/// A delegate as the contract has it.
pub(super) fn out(delegate: &people::Delegate) -> Delegate {
    Delegate {
        id: delegate.id.to_string(),
        name: delegate.name.clone(),
        delegation: delegate.delegation.clone(),
        category: delegate.category.clone(),
        role: role_out(delegate.role).into(),
        sector: delegate.sector.clone(),
        email: delegate.email.clone(),
        country: delegate
            .country
            .map_or(String::new(), |code| code.to_string()),
        is_listed_speaker: delegate.is_listed_speaker,
        languages: delegate.languages.clone(),
        generation: delegate.generation,
        is_revoked: delegate.is_revoked,
    }
}
