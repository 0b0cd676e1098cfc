//! Announcements: passed up, counted, withdrawn.

use crate::common::{namespace, priority};
use crate::stage::{Stage, audio, error, video};
use meridian_relay::{Command, OutRequestId, Role, SessionId};
use meridian_wire::{Message, Namespace, RequestErrorCode};

/// The relay's new announcements.
fn announced(stage: &mut Stage) -> Vec<(SessionId, OutRequestId, Namespace)> {
    let announcement = |(session, request, message)| match message {
        Message::PublishNamespace(ask) => Some((session, request, ask.namespace)),
        _ => None,
    };
    let requests = stage.requests();
    requests.into_iter().filter_map(announcement).collect()
}

fn cancelled(stage: &mut Stage) -> Vec<(SessionId, OutRequestId)> {
    let cancel = |command| match command {
        Command::Cancel {
            session, request, ..
        } => Some((session, request)),
        _ => None,
    };
    let commands = stage.commands();
    commands.into_iter().filter_map(cancel).collect()
}

#[test]
fn what_is_published_below_is_announced_to_parents_and_shortcuts_and_to_nobody_below() {
    let mut stage = Stage::new();
    let above = [Role::Parent, Role::BackupParent, Role::Shortcut].map(|role| stage.session(role));
    let child = stage.session(Role::Child);
    stage.session(Role::Child);
    stage.client();
    stage.announce(child, 0, &namespace("ana"));
    let mut told: Vec<SessionId> = announced(&mut stage).iter().map(|told| told.0).collect();
    told.sort();
    assert_eq!(told, above);
}

#[test]
fn what_a_shortcut_or_parent_announces_is_not_passed_on() {
    let mut stage = Stage::new();
    stage.session(Role::Parent);
    stage.session(Role::BackupParent);
    let other = stage.session(Role::Shortcut);
    let shortcut = stage.session(Role::Shortcut);
    stage.announce(shortcut, 0, &namespace("ana"));
    stage.announce(other, 0, &namespace("ben"));
    assert_eq!(announced(&mut stage), []);
}

#[test]
fn a_namespace_is_announced_once_and_withdrawn_with_its_last_publisher() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let a = stage.client();
    let b = stage.client();
    stage.announce(a, 0, &namespace("ana"));
    let told = announced(&mut stage);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0, &told[0].2), (parent, &namespace("ana")));
    stage.announce(b, 0, &namespace("ana"));
    stage.publish(a, 1, &audio(), priority(16));
    stage.publish(a, 3, &video(), priority(160));
    assert_eq!(announced(&mut stage), []);
    stage.unsubscribe(a, 0);
    stage.unsubscribe(a, 1);
    stage.leave(b);
    assert_eq!(cancelled(&mut stage), []);
    stage.unsubscribe(a, 3);
    assert_eq!(cancelled(&mut stage), [(parent, told[0].1)]);
    stage.ends_empty(&[parent, a]);
}

#[test]
fn a_lost_session_takes_its_announcements_with_it() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let child = stage.session(Role::Child);
    stage.announce(child, 0, &namespace("ana"));
    stage.announce(child, 2, &namespace("ben"));
    stage.commands();
    stage.leave(child);
    assert_eq!(cancelled(&mut stage).len(), 2);
    stage.ends_empty(&[parent]);
}

#[test]
fn a_parent_that_comes_later_learns_everything() {
    let mut stage = Stage::new();
    let child = stage.session(Role::Child);
    let shortcut = stage.session(Role::Shortcut);
    stage.announce(child, 0, &namespace("ana"));
    stage.announce(shortcut, 0, &namespace("ben"));
    let publisher = stage.client();
    stage.publish(
        publisher,
        1,
        &crate::common::name("eve", "audio"),
        priority(16),
    );
    stage.commands();
    let parent = stage.session(Role::Parent);
    let mut told: Vec<Namespace> = announced(&mut stage)
        .into_iter()
        .filter(|told| told.0 == parent)
        .map(|told| told.2)
        .collect();
    told.sort();
    assert_eq!(told, [namespace("ana"), namespace("eve")]);
}

#[test]
fn a_shortcut_that_comes_later_learns_everything_too() {
    let mut stage = Stage::new();
    let child = stage.session(Role::Child);
    stage.announce(child, 0, &namespace("ana"));
    stage.commands();
    let shortcut = stage.session(Role::Shortcut);
    let told = announced(&mut stage);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, shortcut);
}

#[test]
fn a_refused_announcement_is_forgotten() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let a = stage.client();
    stage.announce(a, 0, &namespace("ana"));
    let told = announced(&mut stage);
    let refusal = error(RequestErrorCode::UNAUTHORIZED);
    stage.answer((told[0].0, told[0].1), refusal);
    stage.unsubscribe(a, 0);
    assert_eq!(stage.commands(), []);
    stage.ends_empty(&[parent, a]);
}
