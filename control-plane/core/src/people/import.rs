//! The registration system's export: every line is checked, and all of them are taken or none.

use super::delegate::Delegate;
use super::import_error::{ImportError, ImportErrors, Problem};
use super::name::id_from_name;
use super::role::{Role, language};
use crate::ids::Participant;
use crate::places::{Countries, CountryCode};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One line, cut into fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number in the file, from 1.
    pub line: u64,
    /// In the order of the header.
    pub fields: Vec<String>,
}

/// Where each column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// By the order of [`NAMES`].
    index: [Option<usize>; NAMES.len()],
    count: usize,
}

impl Columns {
    /// Reads the header, the file's first line. Case and order are free; `id`, `listed_speaker` and `languages` may be
    /// left out.
    ///
    /// # Errors
    /// Columns that are missing, unknown or there twice.
    pub fn from_header<T: AsRef<str>>(fields: &[T]) -> Result<Self, ImportErrors> {
        let mut columns = Self {
            index: [None; NAMES.len()],
            count: fields.len(),
        };
        let mut errors = Vec::new();
        let mut tell = |column, problem| {
            errors.push(ImportError {
                line: 1,
                column,
                problem,
            })
        };
        for (position, field) in fields.iter().enumerate() {
            // Spreadsheets put a byte order mark before the first.
            let field = field.as_ref().trim_start_matches('\u{feff}').trim();
            match NAMES
                .iter()
                .position(|name| name.eq_ignore_ascii_case(field))
            {
                None => tell("", Problem::UnknownColumn(field.chars().take(63).collect())),
                Some(known) if columns.index[known].is_some() => {
                    tell(NAMES[known], Problem::ColumnTwice)
                }
                Some(known) => columns.index[known] = Some(position),
            }
        }
        for (name, _) in NAMES[..REQUIRED]
            .iter()
            .zip(columns.index)
            .filter(|(_, index)| index.is_none())
        {
            tell(name, Problem::NoColumn);
        }
        ImportErrors::from_all(errors).map(|()| columns)
    }

    fn of<'a>(&self, row: &'a Row, column: usize) -> &'a str {
        self.index[column]
            .and_then(|index| row.fields.get(index))
            .map_or("", |field| field.trim())
    }
}

/// The people of an export, in the order of its lines, as they are to be stored: new ones with a first generation, known
/// ones with their own.
///
/// A person is known by the id; without one by the e-mail address; without that by name and delegation, which are then
/// the person's own. `languages` are
/// the meeting's; interpreters and captioners work into these.
///
/// # Errors
/// Everything that is wrong, with line, column and what to write. Nothing is to be stored then.
pub fn import(
    columns: &Columns,
    rows: &[Row],
    existing: &BTreeMap<Participant, Delegate>,
    languages: &[String],
) -> Result<Vec<Delegate>, ImportErrors> {
    let mut reader = Reader {
        columns,
        languages,
        errors: Vec::new(),
    };
    if rows.len() > MAX_ROWS {
        reader.tell(rows[MAX_ROWS].line, "", Problem::TooMany(MAX_ROWS));
    }
    let drafts: Vec<Draft> = rows
        .iter()
        .take(MAX_ROWS)
        .filter_map(|row| reader.read(row))
        .collect();
    let known = Known::new(existing);
    let given = reader.given_ids(&drafts, &known);
    reader.check_emails(&drafts, &given, &known);
    reader.errors.sort_by_key(|error| error.line);
    ImportErrors::from_all(reader.errors)?;
    Ok(settle(drafts, given, existing))
}

/// A line that has been read.
struct Draft {
    line: u64,
    id: Option<Participant>,
    /// Its id is not decided yet.
    delegate: Delegate,
}

struct Reader<'a> {
    columns: &'a Columns,
    languages: &'a [String],
    errors: Vec<ImportError>,
}

impl Reader<'_> {
    /// What a line says; `None` if it has not the right number of fields.
    fn read(&mut self, row: &Row) -> Option<Draft> {
        let (expected, found) = (self.columns.count, row.fields.len());
        if expected != found {
            self.tell(row.line, "", Problem::Fields { expected, found });
            return None;
        }
        let role = self.role(row);
        let delegate = Delegate {
            id: Participant::new("undecided").expect("a slug"),
            name: self.text(row, NAME, MAX_TEXT, true),
            delegation: self.text(row, DELEGATION, MAX_TEXT, true),
            category: self.text(row, CATEGORY, MAX_TEXT, false),
            role,
            sector: self.sector(row),
            email: self.email(row),
            country: self.country(row),
            is_listed_speaker: self.yes_no(row),
            languages: self.languages(row, role),
            generation: 1,
            is_revoked: false,
        };
        Some(Draft {
            line: row.line,
            id: self.id(row),
            delegate,
        })
    }

    fn text(&mut self, row: &Row, column: usize, max: usize, is_required: bool) -> String {
        let text = self.columns.of(row, column);
        if text.is_empty() && is_required {
            self.tell(row.line, NAMES[column], Problem::Empty);
        }
        if text.chars().count() > max || text.chars().any(char::is_control) {
            self.tell(row.line, NAMES[column], Problem::Text(max));
        }
        text.to_owned()
    }

    fn role(&mut self, row: &Row) -> Role {
        let text = self.columns.of(row, ROLE);
        text.parse().unwrap_or_else(|_| {
            let problem = if text.is_empty() {
                Problem::Empty
            } else {
                Problem::Role(short(text))
            };
            self.tell(row.line, NAMES[ROLE], problem);
            Role::Listener
        })
    }

    fn sector(&mut self, row: &Row) -> String {
        let text = self.columns.of(row, SECTOR);
        let known = ["", "ITU-R", "ITU-T", "ITU-D"].into_iter().find(|known| {
            known.eq_ignore_ascii_case(text)
                || !known.is_empty() && known[4..].eq_ignore_ascii_case(text)
        });
        if known.is_none() {
            self.tell(row.line, NAMES[SECTOR], Problem::Sector(short(text)));
        }
        known.unwrap_or_default().to_owned()
    }

    fn email(&mut self, row: &Row) -> String {
        let text = self.columns.of(row, EMAIL);
        if !text.is_empty() && !is_email(text) {
            self.tell(row.line, NAMES[EMAIL], Problem::Email(short(text)));
        }
        text.to_owned()
    }

    fn country(&mut self, row: &Row) -> Option<CountryCode> {
        let text = self.columns.of(row, COUNTRY);
        let country = text
            .parse()
            .and_then(|code| Countries::table().country(code));
        if !text.is_empty() && country.is_err() {
            self.tell(row.line, NAMES[COUNTRY], Problem::Country(short(text)));
        }
        country.ok().map(|country| country.code)
    }

    fn id(&mut self, row: &Row) -> Option<Participant> {
        let text = self.columns.of(row, ID);
        let id = Participant::new(text);
        if !text.is_empty() && id.is_err() {
            self.tell(row.line, NAMES[ID], Problem::Id(short(text)));
        }
        id.ok()
    }

    fn yes_no(&mut self, row: &Row) -> bool {
        let text = self.columns.of(row, LISTED).to_ascii_lowercase();
        match text.as_str() {
            "yes" | "y" | "true" | "1" | "x" => true,
            "" | "no" | "n" | "false" | "0" => false,
            _ => {
                self.tell(row.line, NAMES[LISTED], Problem::YesNo(short(&text)));
                false
            }
        }
    }

    fn languages(&mut self, row: &Row, role: Role) -> Vec<String> {
        let mut tags = Vec::new();
        for text in self
            .columns
            .of(row, LANGUAGES)
            .split([' ', ';', ','])
            .filter(|text| !text.is_empty())
        {
            match language(text).filter(|tag| self.languages.contains(tag)) {
                Some(tag) if tags.contains(&tag) => {}
                Some(tag) => tags.push(tag),
                None => self.tell(row.line, NAMES[LANGUAGES], Problem::Language(short(text))),
            }
        }
        if role.has_languages() && self.columns.of(row, LANGUAGES).is_empty() {
            self.tell(row.line, NAMES[LANGUAGES], Problem::NoLanguage);
        }
        tags
    }

    /// The ids of people who have one: by the file, or as they are known already. No two lines are one person.
    fn given_ids(&mut self, drafts: &[Draft], known: &Known<'_>) -> Vec<Option<Participant>> {
        let mut line_by_id: HashMap<Participant, u64> = HashMap::new();
        let mut line_by_name: HashMap<(&str, &str), u64> = HashMap::new();
        let mut given = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let person = &draft.delegate;
            let id = draft.id.clone().or_else(|| known.find(person).cloned());
            let same = match &id {
                Some(id) => line_by_id.insert(id.clone(), draft.line),
                None if person.email.is_empty() => {
                    line_by_name.insert((&person.name, &person.delegation), draft.line)
                }
                None => None,
            };
            if let Some(before) = same {
                let column = if draft.id.is_some() {
                    NAMES[ID]
                } else {
                    NAMES[NAME]
                };
                self.tell(draft.line, column, Problem::Twice(before));
            }
            given.push(id);
        }
        given
    }

    /// No two people have one address: it is what sign-in and links go by.
    fn check_emails(&mut self, drafts: &[Draft], given: &[Option<Participant>], known: &Known<'_>) {
        let mut line_by_email: HashMap<String, u64> = HashMap::new();
        let moving: BTreeSet<&Participant> = given.iter().flatten().collect();
        for (draft, id) in drafts
            .iter()
            .zip(given)
            .filter(|(draft, _)| !draft.delegate.email.is_empty())
        {
            let email = draft.delegate.email.to_lowercase();
            let holder = known
                .by_email
                .get(&email)
                .filter(|holder| Some(**holder) != id.as_ref());
            // Whoever is in the file too may be given another one there.
            if let Some(holder) = holder.filter(|holder| !moving.contains(**holder)) {
                self.tell(draft.line, NAMES[EMAIL], Problem::Taken((*holder).clone()));
            }
            if let Some(before) = line_by_email.insert(email, draft.line) {
                self.tell(draft.line, NAMES[EMAIL], Problem::Twice(before));
            }
        }
    }

    fn tell(&mut self, line: u64, column: &'static str, problem: Problem) {
        self.errors.push(ImportError {
            line,
            column,
            problem,
        });
    }
}

/// People who are there already.
struct Known<'a> {
    by_email: HashMap<String, &'a Participant>,
    by_name: HashMap<(&'a str, &'a str), &'a Participant>,
}

impl<'a> Known<'a> {
    fn new(existing: &'a BTreeMap<Participant, Delegate>) -> Self {
        let with_email = existing.values().filter(|one| !one.email.is_empty());
        Self {
            by_email: with_email
                .map(|one| (one.email.to_lowercase(), &one.id))
                .collect(),
            by_name: existing
                .values()
                .map(|one| ((one.name.as_str(), one.delegation.as_str()), &one.id))
                .collect(),
        }
    }

    fn find(&self, delegate: &Delegate) -> Option<&'a Participant> {
        if delegate.email.is_empty() {
            self.by_name
                .get(&(delegate.name.as_str(), delegate.delegation.as_str()))
                .copied()
        } else {
            self.by_email.get(&delegate.email.to_lowercase()).copied()
        }
    }
}

/// Gives everybody an id, and those who are known what only we know of them.
fn settle(
    drafts: Vec<Draft>,
    given: Vec<Option<Participant>>,
    existing: &BTreeMap<Participant, Delegate>,
) -> Vec<Delegate> {
    let mut taken: BTreeSet<Participant> = existing
        .keys()
        .chain(given.iter().flatten())
        .cloned()
        .collect();
    let mut numbers = BTreeMap::new();
    let settle = |(Draft { mut delegate, .. }, id): (Draft, Option<Participant>)| {
        delegate.id = id.unwrap_or_else(|| id_from_name(&delegate.name, &mut taken, &mut numbers));
        if let Some(known) = existing.get(&delegate.id) {
            delegate.generation = known.generation;
            delegate.is_revoked = known.is_revoked;
        }
        delegate
    };
    drafts.into_iter().zip(given).map(settle).collect()
}

/// Something, an at sign, and a name with a dot; what is really an address only its mail server knows.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    !local.is_empty()
        && text.len() <= MAX_EMAIL_BYTES
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
        && !text.chars().any(|character| {
            character.is_whitespace() || character.is_control() || "<>,;\"".contains(character)
        })
}

fn short(text: &str) -> String {
    text.chars().take(63).collect()
}

const NAMES: [&str; 10] = [
    "name",
    "delegation",
    "category",
    "role",
    "sector",
    "email",
    "country",
    "id",
    "listed_speaker",
    "languages",
];
const NAME: usize = 0;
const DELEGATION: usize = 1;
const CATEGORY: usize = 2;
const ROLE: usize = 3;
const SECTOR: usize = 4;
const EMAIL: usize = 5;
const COUNTRY: usize = 6;
const ID: usize = 7;
const LISTED: usize = 8;
const LANGUAGES: usize = 9;
/// The first of them have to be there.
const REQUIRED: usize = 7;
/// Twice the largest conference.
const MAX_ROWS: usize = 10_000;
const MAX_TEXT: usize = 200;
/// RFC 5321: 256 with its brackets.
const MAX_EMAIL_BYTES: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 10] = NAMES;

    #[test]
    fn an_export_becomes_delegates() {
        let rows = [
            "Zoé Mbeki|South Africa|Council Member State|Chair|ITU-T|zoe@example.org|ZA||yes|",
            "Ann Lee|Example Corp|Sector Member|delegate|d||||no|",
            "Ann Lee|Kenya||interpreter|||ke|booth-1||EN; fr fr",
        ];
        let people = run(&rows, &BTreeMap::new()).unwrap();
        let ids: Vec<&str> = people.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["zoe-mbeki", "ann-lee", "booth-1"]);
        assert_eq!(
            (people[0].role, people[0].is_listed_speaker),
            (Role::Chair, true)
        );
        assert_eq!(
            (people[1].sector.as_str(), people[1].country),
            ("ITU-D", None)
        );
        assert_eq!(people[2].languages, ["en", "fr"]);
        assert_eq!(people[2].country, Some("KE".parse().unwrap()));
        assert!(
            people
                .iter()
                .all(|one| one.generation == 1 && !one.is_revoked)
        );
    }

    #[test]
    fn importing_again_changes_people_and_keeps_their_links_and_revocations() {
        let rows = [
            "Ann|Kenya||delegate||ann@example.org|KE|||",
            "Bob|Kenya||delegate|||KE|||",
        ];
        let mut known: BTreeMap<_, _> = run(&rows, &BTreeMap::new())
            .unwrap()
            .into_iter()
            .map(|one| (one.id.clone(), one))
            .collect();
        for one in known.values_mut() {
            one.revoke();
        }
        let rows = [
            "Bob|Kenya|Observer|listener|||KE|||",
            "Ann Otieno|Kenya||chair||ANN@example.org|KE|||",
            "Ann|Ghana||delegate|||GH|||",
        ];
        let again = run(&rows, &known).unwrap();
        let seen: Vec<_> = again
            .iter()
            .map(|one| (one.id.as_str(), one.role, one.generation, one.is_revoked))
            .collect();
        assert_eq!(
            seen,
            [
                ("bob", Role::Listener, 2, true),
                ("ann", Role::Chair, 2, true),
                ("ann-2", Role::Delegate, 1, false),
            ]
        );
    }

    #[test]
    fn every_mistake_is_told_with_line_column_and_what_to_write() {
        for (row, expected) in [
            ("|Kenya||delegate||||||", "line 2, name: it is empty"),
            ("Ann|||delegate||||||", "line 2, delegation: it is empty"),
            ("Ann|Kenya||||||||", "line 2, role: it is empty"),
            (
                "Ann|Kenya||boss||||||",
                "line 2, role: `boss` is no role: write delegate",
            ),
            (
                "Ann|Kenya||delegate|ITU-X|||||",
                "line 2, sector: `ITU-X` is no Sector: write ITU-R",
            ),
            (
                "Ann|Kenya||delegate||ann@example||||",
                "line 2, email: `ann@example` is no e-mail",
            ),
            (
                "Ann|Kenya||delegate|||Kenya|||",
                "line 2, country: `Kenya` is no country: write the two letters",
            ),
            (
                "Ann|Kenya||delegate||||Ann!||",
                "line 2, id: `Ann!` is no id",
            ),
            (
                "Ann|Kenya||delegate|||||maybe|",
                "line 2, listed_speaker: `maybe` is neither yes nor no",
            ),
            (
                "Ann|Kenya||interpreter||||||de",
                "line 2, languages: `de` is no language of the meeting",
            ),
            (
                "Ann|Kenya||interpreter||||||",
                "line 2, languages: an interpreter",
            ),
            ("Ann|Kenya", "line 2: 2 fields instead of 10"),
            (
                "A\u{7}nn|Kenya||delegate||||||",
                "line 2, name: write 1 to 200",
            ),
        ] {
            let errors = run(&[row], &BTreeMap::new()).unwrap_err();
            let said: Vec<String> = errors.errors.iter().map(ToString::to_string).collect();
            assert!(
                said.len() == 1 && said[0].starts_with(expected),
                "{row}: {said:?}"
            );
        }
    }

    #[test]
    fn nothing_is_imported_if_any_line_is_wrong_and_all_mistakes_are_told() {
        let rows = [
            "Ann|Kenya||delegate||a@example.org||ann||",
            "Bob|Kenya||boss||A@example.org||||",
            "Eve|Kenya||delegate||||ann||",
            "Dan|Kenya||delegate||||||",
        ];
        let errors = run(&rows, &BTreeMap::new()).unwrap_err();
        assert_eq!(
            errors
                .to_string()
                .lines()
                .map(|line| line.split(':').next().unwrap())
                .collect::<Vec<_>>(),
            [
                "nothing was imported",
                "line 3, role",
                "line 3, email",
                "line 4, id"
            ]
        );
        let many = |count: usize, role: &str| {
            let rows: Vec<String> = (0..count)
                .map(|number| format!("N{number}|Kenya||{role}||||||"))
                .collect();
            run(
                &rows.iter().map(String::as_str).collect::<Vec<_>>(),
                &BTreeMap::new(),
            )
            .unwrap_err()
        };
        assert_eq!(many(250, "boss").more, 150);
        let errors = many(MAX_ROWS + 1, "delegate");
        assert_eq!(errors.errors[0].problem, Problem::TooMany(MAX_ROWS));
    }

    #[test]
    fn namesakes_of_one_delegation_are_told_apart_by_the_file() {
        let errors = run(
            &["Ann|Kenya||delegate||||||", "Ann|Kenya||chair||||||"],
            &BTreeMap::new(),
        )
        .unwrap_err();
        assert_eq!(
            errors.errors[0].to_string(),
            "line 3, name: line 2 has the same: each person needs their own (an id or e-mail address tells namesakes apart)"
        );
        let apart = [
            "Ann|Kenya||delegate||||ann||",
            "Ann|Kenya||chair||||ann-b||",
        ];
        assert_eq!(run(&apart, &BTreeMap::new()).unwrap().len(), 2);
    }

    #[test]
    fn an_address_belongs_to_one_person() {
        let rows = ["Ann|Kenya||delegate||ann@example.org||||"];
        let known: BTreeMap<_, _> = run(&rows, &BTreeMap::new())
            .unwrap()
            .into_iter()
            .map(|one| (one.id.clone(), one))
            .collect();
        let errors = run(&["Bob|Kenya||delegate||ann@example.org||bob||"], &known).unwrap_err();
        assert_eq!(
            errors.errors[0].problem,
            Problem::Taken(Participant::new("ann").unwrap())
        );
        let swapped = [
            "Bob|Kenya||delegate||ann@example.org||bob||",
            "Ann|Kenya||delegate||a2@example.org||ann||",
        ];
        assert_eq!(run(&swapped, &known).unwrap().len(), 2);
    }

    #[test]
    fn a_header_is_read_in_any_order_and_refused_with_what_is_missing() {
        let header = [
            "\u{feff}Email",
            "NAME",
            "delegation",
            "category",
            "role",
            "sector",
            "country",
        ];
        let columns = Columns::from_header(&header).unwrap();
        let fields = ["ann@example.org", "Ann", "Kenya", "", "chair", "", "KE"]
            .map(str::to_owned)
            .to_vec();
        let people = import(&columns, &[Row { line: 2, fields }], &BTreeMap::new(), &[]).unwrap();
        assert_eq!(people[0].email, "ann@example.org");
        let errors = Columns::from_header(&["name", "name", "seat", "delegation"]).unwrap_err();
        let said = errors.to_string();
        for part in [
            "name: there are two",
            "`seat` is no column",
            "country: there is no such column",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    fn run(
        rows: &[&str],
        known: &BTreeMap<Participant, Delegate>,
    ) -> Result<Vec<Delegate>, ImportErrors> {
        let columns = Columns::from_header(&HEADER).unwrap();
        let row = |(index, text): (usize, &&str)| Row {
            line: index as u64 + 2,
            fields: text.split('|').map(str::to_owned).collect(),
        };
        let rows: Vec<Row> = rows.iter().enumerate().map(row).collect();
        import(&columns, &rows, known, &["en".to_owned(), "fr".to_owned()])
    }
}
