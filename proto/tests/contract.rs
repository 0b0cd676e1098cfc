//! The contract is documented whole, and no change to it breaks who was built against an earlier one.
//!
//! `baseline.binpb` is the contract as it was last published. A change that only adds is accepted with
//! `MERIDIAN_PUBLISH_CONTRACT=1 cargo test -p meridian-proto`, which writes it anew.

use meridian_proto::DESCRIPTORS;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

#[test]
fn no_change_breaks_who_was_built_against_the_published_contract() {
    let now = FileDescriptorSet::decode(DESCRIPTORS).expect("it was just made");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.binpb");
    let published = fs::read(&path).unwrap_or_default();
    let published = FileDescriptorSet::decode(published.as_slice()).expect("a descriptor set");
    let broken = breaks(&published, &now);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    if std::env::var_os("MERIDIAN_PUBLISH_CONTRACT").is_some() {
        fs::write(path, without_sources(now).encode_to_vec()).expect("it can be written");
        return;
    }
    let same = without_sources(now) == published;
    assert!(
        same,
        "the contract has grown: publish it (see the head of {})",
        file!()
    );
}

#[test]
fn a_removed_field_a_changed_type_and_a_lost_call_are_breaks() {
    let now = FileDescriptorSet::decode(DESCRIPTORS).expect("it was just made");
    assert!(breaks(&now, &now).is_empty());
    let mut changed = now.clone();
    for file in &mut changed.file {
        for message in &mut file.message_type {
            match message.name() {
                "Version" => message.field.truncate(1),
                "Rtt" => message.field[1].set_type(prost_types::field_descriptor_proto::Type::Bool),
                _ => {}
            }
        }
        for service in &mut file.service {
            service.method.retain(|method| method.name() != "Join");
        }
        for of in &mut file.enum_type {
            of.value.retain(|value| value.name() != "ROLE_CHAIR");
        }
    }
    let broken = breaks(&now, &changed).join("\n");
    for what in [
        "Version.revision",
        "Rtt.rtt_us",
        "JoinService.Join",
        "Role.ROLE_CHAIR",
    ] {
        assert!(broken.contains(what), "{what} is not in:\n{broken}");
    }
}

#[test]
fn every_message_field_value_and_call_says_what_it_means() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("meridian");
    let folders = ["v1", "loadtest/v1"].map(|folder| fs::read_dir(root.join(folder)));
    let files = folders.map(|files| files.expect("the contract is there"));
    let mut bare = Vec::new();
    for file in files.into_iter().flatten() {
        let path = file.expect("it can be read").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (n, line) in lines.iter().enumerate() {
            let is_item = line.ends_with(';') || line.ends_with('{') || line.ends_with("{}");
            let is_bare = ["syntax", "package", "import", "oneof", "reserved", "//"];
            let needs_none = is_bare.iter().any(|word| line.starts_with(word));
            if is_item && !needs_none && !lines[n.saturating_sub(1)].starts_with("//") {
                bare.push(format!("{}:{}: {line}", path.display(), n + 1));
            }
        }
    }
    assert!(bare.is_empty(), "without a comment:\n{}", bare.join("\n"));
}

fn without_sources(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

/// What was there before and is not any more, or is something else.
fn breaks(before: &FileDescriptorSet, after: &FileDescriptorSet) -> Vec<String> {
    let (before, after) = (items(before), items(after));
    let broken = before
        .into_iter()
        .filter(|(name, what)| after.get(name) != Some(what));
    broken
        .map(|(name, what)| match after.get(&name) {
            Some(now) => format!("{name} was {what} and is {now}"),
            None => format!("{name} ({what}) is gone"),
        })
        .collect()
}

/// All that others rely on, by name.
fn items(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    set.file.iter().flat_map(items_of).collect()
}

fn items_of(file: &FileDescriptorProto) -> Vec<(String, String)> {
    let messages = file
        .message_type
        .iter()
        .flat_map(|message| fields("", message));
    let values = file.enum_type.iter().flat_map(values);
    let calls = file.service.iter().flat_map(calls);
    messages.chain(values).chain(calls).collect()
}

fn fields(outer: &str, message: &DescriptorProto) -> Vec<(String, String)> {
    let name = format!("{outer}{}", message.name());
    let inner = format!("{name}.");
    let own = message
        .field
        .iter()
        .map(|field| (format!("{name}.{}", field.name()), kind(field)));
    let nested = message
        .nested_type
        .iter()
        .flat_map(|nested| fields(&inner, nested));
    own.chain(nested)
        .chain([(name.clone(), "a message".to_owned())])
        .collect()
}

fn kind(field: &FieldDescriptorProto) -> String {
    format!(
        "number {}, type {:?} {}, {:?}{}",
        field.number(),
        field.r#type(),
        field.type_name(),
        field.label(),
        field
            .oneof_index
            .map_or(String::new(), |n| format!(", one of {n}"))
    )
}

fn values(of: &EnumDescriptorProto) -> Vec<(String, String)> {
    let value = |value: &prost_types::EnumValueDescriptorProto| {
        (
            format!("{}.{}", of.name(), value.name()),
            format!("number {}", value.number()),
        )
    };
    of.value.iter().map(value).collect()
}

fn calls(service: &ServiceDescriptorProto) -> Vec<(String, String)> {
    let call = |call: &prost_types::MethodDescriptorProto| {
        let what = format!(
            "{}{} -> {}{}",
            if call.client_streaming() {
                "stream "
            } else {
                ""
            },
            call.input_type(),
            if call.server_streaming() {
                "stream "
            } else {
                ""
            },
            call.output_type()
        );
        (format!("{}.{}", service.name(), call.name()), what)
    };
    service.method.iter().map(call).collect()
}
