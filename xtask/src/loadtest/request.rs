//! What the tester may ask of who runs the network: one line of JSON each. Pure.

use serde::Deserialize;
use serde_json::{Value, json};

/// Something the tester asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What there is, and how to get in.
    Describe,
    /// Which processes run now.
    Processes,
    /// Something is to happen.
    Let(Whom, Act),
}

/// To whom something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The edge of an office.
    Edge(String),
    /// The paths between an office and all others.
    Paths(String),
    /// Every replica of the control plane.
    Control,
    /// Every member of etcd.
    Store,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Freeze,
    /// SIGCONT.
    Thaw,
    /// Started again, stopped first if it runs.
    Restart,
    /// Nothing gets through.
    Cut,
    /// Everything gets through.
    Heal,
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, in words for whoever wrote it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line: Line =
            serde_json::from_str(line).map_err(|error| format!("no request: {error}"))?;
        let office = line.office.filter(|office| !office.is_empty());
        match (line.wanted.as_str(), &office) {
            ("describe", None) => return Ok(Self::Describe),
            ("processes", None) => return Ok(Self::Processes),
            _ => {}
        }
        let known = WORDS.iter().find(|(word, ..)| *word == line.wanted);
        let unknown = || {
            format!(
                "`{}` is not understood; these are: {}",
                line.wanted,
                words()
            )
        };
        let (word, kind, act) = known.ok_or_else(unknown)?;
        let whom = match (kind, office) {
            (Kind::Edge, Some(office)) => Whom::Edge(office),
            (Kind::Paths, Some(office)) => Whom::Paths(office),
            (Kind::Control, None) => Whom::Control,
            (Kind::Store, None) => Whom::Store,
            (Kind::Edge | Kind::Paths, None) => return Err(format!("{word}: which office?")),
            (Kind::Control | Kind::Store, Some(_)) => {
                return Err(format!("{word} happens to no office in particular"));
            }
        };
        Ok(Self::Let(whom, *act))
    }
}

/// An answer: what was asked for beside `"ok": true`, or why it could not be done.
pub fn answer(outcome: Result<Value, String>) -> Value {
    match outcome {
        Ok(Value::Object(mut fields)) => {
            fields.insert("ok".to_owned(), Value::Bool(true));
            Value::Object(fields)
        }
        Ok(_) => json!({"ok": true}),
        Err(error) => json!({"ok": false, "error": error}),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "do")]
    wanted: String,
    #[serde(default)]
    office: Option<String>,
}

#[derive(Clone, Copy)]
enum Kind {
    Edge,
    Paths,
    Control,
    Store,
}

fn words() -> String {
    let acts = WORDS.iter().map(|(word, ..)| *word);
    let all: Vec<_> = ["describe", "processes"].into_iter().chain(acts).collect();
    all.join(", ")
}

/// As in a scenario's events. What is not here the tester does by itself.
const WORDS: [(&str, Kind, Act); 14] = [
    ("edge-kill", Kind::Edge, Act::Kill),
    ("edge-freeze", Kind::Edge, Act::Freeze),
    ("edge-thaw", Kind::Edge, Act::Thaw),
    ("edge-restart", Kind::Edge, Act::Restart),
    ("edge-cut", Kind::Edge, Act::Cut),
    ("edge-heal", Kind::Edge, Act::Heal),
    ("wan-cut", Kind::Paths, Act::Cut),
    ("wan-heal", Kind::Paths, Act::Heal),
    ("control-kill", Kind::Control, Act::Kill),
    ("control-freeze", Kind::Control, Act::Freeze),
    ("control-thaw", Kind::Control, Act::Thaw),
    ("control-restart", Kind::Control, Act::Restart),
    ("store-freeze", Kind::Store, Act::Freeze),
    ("store-thaw", Kind::Store, Act::Thaw),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Request {
        Request::parse(line).expect(line)
    }

    #[test]
    fn what_a_scenario_calls_an_event_is_understood() {
        let bangkok = || "bangkok".to_owned();
        assert_eq!(parse(r#"{"do":"describe"}"#), Request::Describe);
        assert_eq!(
            parse(r#"{"do":"processes","office":""}"#),
            Request::Processes
        );
        assert_eq!(
            parse(r#"{"do":"edge-kill","office":"bangkok"}"#),
            Request::Let(Whom::Edge(bangkok()), Act::Kill)
        );
        assert_eq!(
            parse(r#"{"office":"bangkok","do":"wan-heal"}"#),
            Request::Let(Whom::Paths(bangkok()), Act::Heal)
        );
        assert_eq!(
            parse(r#"{"do":"control-restart"}"#),
            Request::Let(Whom::Control, Act::Restart)
        );
        assert_eq!(
            parse(r#"{"do":"store-freeze"}"#),
            Request::Let(Whom::Store, Act::Freeze)
        );
    }

    #[test]
    fn what_is_not_understood_is_answered_in_words() {
        for (line, says) in [
            ("nonsense", "no request"),
            ("[1]", "no request"),
            (r#"{"do":"describe","offise":"x"}"#, "offise"),
            (r#"{"do":"edge-drain","office":"bangkok"}"#, "edge-kill"),
            (r#"{"do":"edge-kill"}"#, "which office"),
            (r#"{"do":"control-kill","office":"bangkok"}"#, "no office"),
        ] {
            let error = Request::parse(line).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn an_answer_says_whether_it_was_done() {
        assert_eq!(answer(Ok(Value::Null)), json!({"ok": true}));
        assert_eq!(answer(Ok(json!({"a": 1}))), json!({"ok": true, "a": 1}));
        let error = answer(Err("why".to_owned()));
        assert_eq!(error, json!({"ok": false, "error": "why"}));
    }
}
