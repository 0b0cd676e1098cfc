//! Certificates, made and read back by `openssl`.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use xtask::{
    certs::{Authority, Identity},
    shell,
};

/// An empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn openssl(args: &[&str], file: &Path) -> String {
    shell::read(shell::command("openssl", args).arg(file)).unwrap()
}

#[test]
fn an_office_gets_a_certificate_for_both_ends_signed_by_the_authority() {
    let authority = Authority::ensure(&folder("certs-signed")).unwrap();
    let Identity { certificate, key } = authority.identity("geneva", &["DNS:geneva"]).unwrap();
    let text = openssl(&["x509", "-noout", "-text", "-in"], &certificate);
    for part in [
        "Subject: CN = geneva",
        "DNS:geneva",
        "P-256",
        "Version: 3",
        "CA:FALSE",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"));
    assert!(
        fs::read_to_string(&key)
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
    let authority = authority.certificate();
    openssl(
        &["verify", "-CAfile", &authority.to_string_lossy()],
        &certificate,
    );
}

#[test]
fn who_wants_an_authority_at_the_same_moment_gets_the_same_one() {
    let folder = folder("certs-at-once");
    let offices = ["geneva", "bangkok", "cairo", "addis-ababa"];
    std::thread::scope(|scope| {
        for office in offices {
            let folder = &folder;
            scope.spawn(move || {
                let authority = Authority::ensure(folder).unwrap();
                authority
                    .identity(office, &[&format!("DNS:{office}")])
                    .unwrap();
            });
        }
    });
    let authority = folder.join("ca.pem");
    for office in offices {
        openssl(
            &["verify", "-CAfile", &authority.to_string_lossy()],
            &folder.join(format!("{office}.pem")),
        );
    }
}

#[test]
fn valid_certificates_are_used_again() {
    let folder = folder("certs-again");
    let read = |identity: &Identity| fs::read(&identity.certificate).unwrap();
    let first = Authority::ensure(&folder)
        .unwrap()
        .identity("bangkok", &["DNS:bangkok"])
        .unwrap();
    let kept = read(&first);
    let again = Authority::ensure(&folder).unwrap();
    assert_eq!(
        read(&again.identity("bangkok", &["DNS:bangkok"]).unwrap()),
        kept
    );
    let renamed = again
        .identity("bangkok", &["DNS:bangkok", "IP:127.0.0.1"])
        .unwrap();
    assert_ne!(read(&renamed), kept);
}

#[test]
fn a_new_authority_reissues_what_the_old_one_signed() {
    let folder = folder("certs-new-authority");
    let old = Authority::ensure(&folder).unwrap();
    let kept = fs::read(old.identity("geneva", &["DNS:geneva"]).unwrap().certificate).unwrap();
    fs::remove_file(old.certificate()).unwrap();
    let new = Authority::ensure(&folder).unwrap();
    let made = new.identity("geneva", &["DNS:geneva"]).unwrap();
    assert_ne!(fs::read(&made.certificate).unwrap(), kept);
}

#[test]
fn names_cannot_smuggle_in_other_extensions() {
    let authority = Authority::ensure(&folder("certs-names")).unwrap();
    for name in [
        "geneva",
        "DNS:",
        "DNS:a,DNS:b",
        "DNS:a\nbasicConstraints=CA:TRUE",
        "URI:x",
    ] {
        assert!(authority.identity("x", &[name]).is_err(), "{name}");
    }
}
