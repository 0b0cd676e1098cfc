//! A certificate authority of one's own, and what it issues: ECDSA P-256, made by `openssl` and
//! kept while it is valid.
//!
//! For development only: the authority's key lies beside its certificate. Commands at once take
//! turns at a folder: two halves of different authorities would fit nobody.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::shell;

/// An authority in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// The files of one certificate and its key, both PEM; the key is PKCS #8.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// The certificate alone: the authority signs it directly.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Takes the authority in `folder`, or makes a new one if there is none or it runs out soon.
    ///
    /// # Errors
    /// If `openssl` is missing or fails.
    pub fn ensure(folder: &Path) -> Result<Self> {
        let authority = Self {
            folder: folder.to_owned(),
        };
        fs::create_dir_all(folder)?;
        let _turn = authority.turn()?;
        if !lasts(&authority.certificate()) {
            authority.create()?;
        }
        Ok(authority)
    }

    /// What others must trust, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for both ends of TLS, for a subject and the names it may be reached by
    /// (`DNS:geneva`, `IP:127.0.0.1`). A valid one is used again.
    ///
    /// # Errors
    /// If a name is not of that form, or `openssl` fails.
    pub fn identity(&self, subject: &str, names: &[&str]) -> Result<Identity> {
        let file = |extension| self.folder.join(format!("{subject}.{extension}"));
        let extensions = extensions(names)?;
        let _turn = self.turn()?;
        let identity = Identity {
            certificate: file("pem"),
            key: file("key"),
        };
        let same_names = fs::read_to_string(file("ext")).is_ok_and(|kept| kept == extensions);
        if same_names && self.has_signed(&identity.certificate) && lasts(&identity.certificate) {
            return Ok(identity);
        }
        fs::write(file("ext"), extensions)?;
        self.issue(subject, &identity, &file("csr"), &file("ext"))?;
        Ok(identity)
    }

    fn key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// Waits until nobody else works in the folder; it is this one's until the file is dropped.
    fn turn(&self) -> Result<File> {
        let file = File::create(self.folder.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn create(&self) -> Result<()> {
        let mut request = openssl(&["req", "-x509", "-days", AUTHORITY_DAYS, "-nodes"]);
        request
            .args(NEW_KEY)
            .args(["-subj", "/CN=Meridian development authority"]);
        request.args(["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"]);
        request.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        request
            .arg("-keyout")
            .arg(self.key())
            .arg("-out")
            .arg(self.certificate());
        shell::read(&mut request).map(drop)
    }

    fn issue(&self, subject: &str, made: &Identity, request: &Path, ext: &Path) -> Result<()> {
        let mut ask = openssl(&["req", "-new", "-nodes", "-subj", &format!("/CN={subject}")]);
        ask.args(NEW_KEY)
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(request);
        shell::read(&mut ask)?;
        let mut sign = openssl(&[
            "x509",
            "-req",
            "-days",
            IDENTITY_DAYS,
            "-CAcreateserial",
            "-in",
        ]);
        sign.arg(request)
            .arg("-CA")
            .arg(self.certificate())
            .arg("-CAkey")
            .arg(self.key());
        sign.arg("-extfile")
            .arg(ext)
            .arg("-out")
            .arg(&made.certificate);
        shell::read(&mut sign).map(drop)
    }

    fn has_signed(&self, certificate: &Path) -> bool {
        let mut verify = openssl(&["verify", "-CAfile"]);
        verify.arg(self.certificate()).arg(certificate);
        shell::read(&mut verify).is_ok()
    }
}

/// Whether a certificate is there and good for a day more.
fn lasts(certificate: &Path) -> bool {
    let mut check = openssl(&["x509", "-noout", "-checkend", A_DAY_IN_SECONDS, "-in"]);
    shell::read(check.arg(certificate)).is_ok()
}

fn extensions(names: &[&str]) -> Result<String> {
    let well_formed = |name: &&&str| {
        let (kind, value) = name.split_once(':').unwrap_or_default();
        matches!(kind, "DNS" | "IP") && !value.is_empty() && !value.contains([',', '\n', ' '])
    };
    if let Some(name) = names.iter().find(|name| !well_formed(name)) {
        bail!("`{name}` is not DNS:name or IP:address");
    }
    Ok(format!(
        "basicConstraints=critical,CA:FALSE\n\
         keyUsage=critical,digitalSignature\n\
         extendedKeyUsage=serverAuth,clientAuth\n\
         subjectAltName={}\n",
        names.join(",")
    ))
}

fn openssl(args: &[&str]) -> std::process::Command {
    shell::command("openssl", args)
}

const NEW_KEY: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const AUTHORITY_DAYS: &str = "365";
const IDENTITY_DAYS: &str = "90";
const A_DAY_IN_SECONDS: &str = "86400";
