//! The contract's messages as JSON: every field, under its name in the contract, and times as RFC 3339 beside the numbers.

use crate::moment;
use meridian_proto::{DESCRIPTORS, hex, v1};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value as Held,
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// A message of the contract that has a JSON form.
pub trait Named: Message {
    /// Its name in the contract.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident)*) => {
        $(impl Named for v1::$message {
            const NAME: &'static str = concat!("meridian.v1.", stringify!($message));
        })*
        #[cfg(test)]
        const ALL: &[&str] = &[$(v1::$message::NAME),*];
    };
}

named! {
    AuditEntry CloseMeetingResponse Delegate DrainEdgeResponse EdgeStatus GetStatisticsResponse ImportDelegatesResponse
    Invitation IssueAccessResponse ListAuditResponse ListDelegatesResponse ListEdgesResponse ListMeetingsResponse
    InviteDelegatesResponse Meeting RevokeDelegateResponse Roster RotateKeysResponse Topology TreeRow WhyResponse
}

/// A message as JSON. Integers are numbers, bytes are hexadecimal, enumerations are their names; a message or time that
/// is not set is null.
pub fn of<M: Named>(message: &M) -> Value {
    let descriptor = POOL.get_message_by_name(M::NAME);
    let descriptor = descriptor.expect("the contract has all that is named");
    let mut dynamic = DynamicMessage::new(descriptor);
    let taken = dynamic.merge(message.encode_to_vec().as_slice());
    taken.expect("what was encoded can be decoded");
    Value::Object(object(&dynamic))
}

/// Several messages.
pub fn all<'a, M: Named + 'a>(messages: impl IntoIterator<Item = &'a M>) -> Value {
    messages.into_iter().map(of).collect()
}

fn object(message: &DynamicMessage) -> Map<String, Value> {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        if field.supports_presence() && !message.has_field(&field) {
            object.insert(field.name().into(), Value::Null);
            continue;
        }
        let value = message.get_field(&field);
        if let Some((name, unit_ns)) = time_in(field.name()) {
            let at = value.as_u64().filter(|at| *at != 0);
            let written = at.and_then(|at| moment::rfc3339(i128::from(at) * unit_ns));
            object.insert(name.into(), json!(written));
        }
        object.insert(field.name().into(), one(&value, &field));
    }
    object
}

fn one(value: &Held, field: &FieldDescriptor) -> Value {
    match value {
        Held::Bool(it) => json!(it),
        Held::I32(it) => json!(it),
        Held::I64(it) => json!(it),
        Held::U32(it) => json!(it),
        Held::U64(it) => json!(it),
        Held::F32(it) => json!(it),
        Held::F64(it) => json!(it),
        Held::String(it) => json!(it),
        Held::Bytes(it) => json!(hex::to_text(it)),
        Held::EnumNumber(number) => enumerated(*number, field),
        Held::Message(it) => Value::Object(object(it)),
        Held::List(list) => list.iter().map(|it| one(it, field)).collect(),
        Held::Map(map) => {
            let entries = map.iter();
            let entries = entries.map(|(key, it)| (key_text(key), one(it, field)));
            Value::Object(entries.collect())
        }
    }
}

/// A name that the contract has, or a number that a newer server knows.
fn enumerated(number: i32, field: &FieldDescriptor) -> Value {
    let Kind::Enum(kind) = field.kind() else {
        return json!(number);
    };
    kind.get_value(number)
        .map_or(json!(number), |value| json!(value.name()))
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(it) => it.to_string(),
        MapKey::I32(it) => it.to_string(),
        MapKey::I64(it) => it.to_string(),
        MapKey::U32(it) => it.to_string(),
        MapKey::U64(it) => it.to_string(),
        MapKey::String(it) => it.clone(),
    }
}

/// For a field that holds a point in time: its name without the unit, and the unit in nanoseconds.
fn time_in(name: &str) -> Option<(&str, i128)> {
    let (bare, unit) = name.rsplit_once('_')?;
    let is_time = bare == "at"
        || bare.ends_with("_at")
        || ["since", "until", "deadline", "drain_deadline"].contains(&bare);
    let unit_ns = match unit {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        _ => return None,
    };
    is_time.then_some((bare, unit_ns))
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("the contract's descriptor was made with it")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_all_that_is_named() {
        for name in ALL {
            assert!(POOL.get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_field_is_there_with_times_beside_the_numbers() {
        let meeting = v1::Meeting {
            id: "council".into(),
            opens_at_s: 1_796_126_400,
            languages: vec!["en".into()],
            ..v1::Meeting::default()
        };
        assert_eq!(
            of(&meeting),
            json!({
                "id": "council", "title": "", "office": "", "is_closed": false, "revision": 0,
                "opens_at_s": 1_796_126_400_u64, "opens_at": "2026-12-01T12:00:00Z",
                "closes_at_s": 0, "closes_at": null,
                "languages": ["en"], "countries": [], "sessions_per_participant": 0,
            })
        );
    }

    #[test]
    fn enumerations_bytes_and_missing_messages_have_plain_forms() {
        let status = v1::EdgeStatus {
            state: v1::EdgeState::Draining.into(),
            drain_deadline_ms: 1_796_126_400_005,
            edge: Some(v1::Edge {
                certificate_sha256: vec![0, 255].into(),
                ..v1::Edge::default()
            }),
            ..v1::EdgeStatus::default()
        };
        let json = of(&status);
        assert_eq!(json["state"], "EDGE_STATE_DRAINING");
        assert_eq!(json["drain_deadline"], "2026-12-01T12:00:00.005Z");
        assert_eq!(json["edge"]["certificate_sha256"], "00ff");
        assert_eq!(json["load"], Value::Null);
        assert_eq!(json["silent_ms"], 0);
        assert!(json.get("silent").is_none());
    }

    #[test]
    fn maps_are_objects() {
        let statistics = v1::GetStatisticsResponse {
            present_by_office: [("bangkok".to_owned(), 2)].into(),
            ..v1::GetStatisticsResponse::default()
        };
        assert_eq!(of(&statistics)["present_by_office"]["bangkok"], 2);
    }
}
