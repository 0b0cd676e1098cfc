//! Any bytes are survived: the fuzz targets' committed corpus, random bytes, and valid streams with bytes changed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public to the fuzz targets")]
mod targets;

use bytes::BytesMut;
use common::*;
use meridian_wire::Draft;
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Path;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 6] = [
    ("control", targets::control),
    ("subgroup", targets::subgroup),
    ("fetch", targets::fetch),
    ("datagram", targets::datagram),
    ("name", targets::name),
    ("property", targets::property),
];

#[test]
fn the_corpus_is_survived() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let entries = std::fs::read_dir(&folder).unwrap();
        let mut count = 0;
        for entry in entries {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn small_numbers_reach_deep(bytes in vec(0u8..0x60, 0..80)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn messages_with_bytes_changed_are_survived(
        (draft, message) in draft_and_message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<bool>(),
    ) {
        let mut out = BytesMut::new();
        message.encode(draft, &mut out).unwrap();
        for (at, byte) in changes {
            let at = at.index(out.len());
            out[at] = byte;
        }
        let at = Draft::PREFERRED.iter().position(|d| *d == draft).unwrap() as u8;
        // 129 leaves no rest by 3: the pieces are cut, the draft is the same.
        targets::control(&[&[at + if cut { 129 } else { 0 }], &out[..]].concat());
    }

    #[test]
    fn subgroups_with_bytes_changed_are_survived(
        (header, objects) in subgroup(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        choice in any::<u8>(),
    ) {
        let mut stream = encode_subgroup(&header, &objects).to_vec();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        targets::subgroup(&[&[choice], &stream[..]].concat());
    }

    #[test]
    fn fetch_streams_with_bytes_changed_are_survived(
        (order, items) in fetch_stream(Draft::D22, true),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        choice in any::<u8>(),
    ) {
        let mut stream = encode_fetch(Draft::D22, order, 7, &items).to_vec();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        targets::fetch(&[&[choice], &stream[..]].concat());
    }
}

/// Writes seeds for the fuzzer: run with `--ignored` after a change of the format, and commit what it leaves.
#[test]
#[ignore = "writes into the source tree"]
fn write_seeds() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let write = |target: &str, n: usize, bytes: &[u8]| {
        std::fs::create_dir_all(root.join(target)).unwrap();
        std::fs::write(root.join(target).join(format!("seed-{n:02}")), bytes).unwrap();
    };
    for n in 0..24 {
        let at = n % 3;
        let draft = Draft::PREFERRED[at];
        let choice = at as u8 + if n % 2 == 0 { 0 } else { 129 };
        let mut out = BytesMut::new();
        for message in vec(message(draft), 1..4)
            .new_tree(&mut runner)
            .unwrap()
            .current()
        {
            message.encode(draft, &mut out).unwrap();
        }
        write("control", n, &[&[choice], &out[..]].concat());
        let (header, objects) = subgroup().new_tree(&mut runner).unwrap().current();
        let stream = encode_subgroup(&header, &objects);
        write("subgroup", n, &[&[choice], &stream[..]].concat());
        let (order, items) = fetch_stream(draft, true)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let stream = encode_fetch(draft, order, 7, &items);
        let choice = choice
            | if order == meridian_wire::GroupOrder::Descending {
                0x40
            } else {
                0
            };
        write("fetch", n, &[&[choice], &stream[..]].concat());
        let mut out = BytesMut::new();
        datagram()
            .new_tree(&mut runner)
            .unwrap()
            .current()
            .encode(&mut out);
        write("datagram", n, &out);
        let track = track().new_tree(&mut runner).unwrap().current();
        write("name", n, track.to_string().as_bytes());
        write(
            "property",
            n,
            &properties().new_tree(&mut runner).unwrap().current().0,
        );
    }
}
