//! Where to go and as whom: from the command line, the environment, and a settings file, in this order.

use crate::exit::{ExitCode, Failure};
use crate::output::note;
use anyhow::{Context, anyhow};
use meridian_process::config;
use serde::Deserialize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, fs, io};

/// What the command line and the environment say.
#[derive(Debug, Default)]
pub struct Given {
    /// URLs.
    pub servers: Vec<String>,
    /// Authorities, a PEM file.
    pub ca: Option<PathBuf>,
    /// The access token.
    pub token: Option<String>,
    /// The file with it; it counts more than `token`, which may come from the environment.
    pub token_file: Option<PathBuf>,
    /// The settings file; the usual one, if it is there, if none is named.
    pub config: Option<PathBuf>,
    /// How long to wait for an answer.
    pub timeout: Duration,
}

/// Where to go and as whom.
#[derive(Clone)]
pub struct Settings {
    /// At least one, `https://host:port`.
    pub servers: Vec<String>,
    /// Authorities to trust, PEM; the machine's own if none.
    pub ca: Option<String>,
    /// The access token.
    pub token: Option<String>,
    /// How long to wait for an answer.
    pub timeout: Duration,
}

impl Settings {
    /// Reads the files that are named, and checks what they say.
    ///
    /// # Errors
    /// A file cannot be used, no server is given, or one is not `https://…`.
    pub fn load(given: Given) -> Result<Settings, Failure> {
        let file = settings_file(given.config.as_deref()).map_err(usage)?;
        let servers = match given.servers.is_empty() {
            true => file.server.map_or_else(Vec::new, Servers::into_list),
            false => given.servers,
        };
        let servers = check(servers).map_err(usage)?;
        let ca = given.ca.or(file.ca);
        let token = match (given.token_file, given.token) {
            (Some(path), _) => Some(token_in(&path)?),
            (None, Some(token)) => Some(token),
            (None, None) => file.token_file.map(|path| token_in(&path)).transpose()?,
        };
        Ok(Settings {
            servers,
            ca: ca.map(|path| read(&path)).transpose().map_err(usage)?,
            token: token.map(|token| token.trim().to_owned()),
            timeout: given.timeout,
        })
    }
}

impl fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

/// `ctl.toml`. Its paths are relative to its folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<Servers>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write \"https://host:port\", or several in [ ]")]
enum Servers {
    One(String),
    Several(Vec<String>),
}

impl Servers {
    fn into_list(self) -> Vec<String> {
        match self {
            Servers::One(server) => vec![server],
            Servers::Several(servers) => servers,
        }
    }
}

fn settings_file(named: Option<&Path>) -> anyhow::Result<File> {
    let (path, must_be) = match (named, usual_path()) {
        (Some(path), _) => (path.to_owned(), true),
        (None, Some(path)) => (path, false),
        (None, None) => return Ok(File::default()),
    };
    let text = match fs::read_to_string(&path) {
        Err(error) if !must_be && error.kind() == io::ErrorKind::NotFound => {
            return Ok(File::default());
        }
        text => text.with_context(|| path.display().to_string())?,
    };
    let file = config::read(&text);
    let mut file: File =
        file.map_err(|(line, what)| anyhow!("{}:{line}: {what}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for path in [&mut file.ca, &mut file.token_file].into_iter().flatten() {
        *path = folder.join(&path);
    }
    Ok(file)
}

fn usual_path() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty());
    let config = folder("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".config")))?;
    Some(config.join("meridian/ctl.toml"))
}

fn check(servers: Vec<String>) -> anyhow::Result<Vec<String>> {
    if servers.is_empty() {
        anyhow::bail!("no server: give --server https://host:port, or set MERIDIAN_SERVER");
    }
    for server in &servers {
        let url: tonic::transport::Uri = server
            .parse()
            .map_err(|error| anyhow!("--server {server}: {error}; write https://host:port"))?;
        // A token must not cross the network in the clear.
        if url.scheme_str() != Some("https") {
            anyhow::bail!("--server {server}: write https://host:port");
        }
    }
    Ok(servers)
}

fn token_in(path: &Path) -> Result<String, Failure> {
    let token = read(path).map_err(usage)?;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS_MAY_READ != 0 {
        let path = path.display();
        note(&format!(
            "others can read the access token: chmod 600 {path}"
        ));
    }
    Ok(token)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn usage(error: anyhow::Error) -> Failure {
    Failure::new(ExitCode::Usage, error)
}

/// Of a file's mode: for the group, and for all.
const OTHERS_MAY_READ: u32 = 0o044;

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, given: Given) -> Result<Settings, String> {
        let folder = tempfile::tempdir().expect("there is room");
        let config = folder.path().join("ctl.toml");
        fs::write(&config, text).expect("there is room");
        fs::write(folder.path().join("token"), "from-file\n").expect("there is room");
        fs::write(folder.path().join("ca.pem"), "PEM").expect("there is room");
        let given = Given {
            config: Some(config),
            ..given
        };
        Settings::load(given).map_err(|failure| failure.to_string())
    }

    const FILE: &str = "server = \"https://a:1\"\nca = \"ca.pem\"\ntoken_file = \"token\"\n";

    #[test]
    fn the_file_fills_in_what_is_not_given() {
        let settings = loaded(FILE, Given::default()).expect("it is good");
        assert_eq!(settings.servers, ["https://a:1"]);
        assert_eq!(settings.ca.as_deref(), Some("PEM"));
        assert_eq!(settings.token.as_deref(), Some("from-file"));
    }

    #[test]
    fn what_is_given_counts_more_than_the_file() {
        let given = Given {
            servers: vec!["https://b:2".into(), "https://c:3".into()],
            token: Some("given".into()),
            ..Given::default()
        };
        let settings = loaded(FILE, given).expect("it is good");
        assert_eq!(settings.servers.len(), 2);
        assert_eq!(settings.token.as_deref(), Some("given"));
        assert!(!format!("{settings:?}").contains("given"));
    }

    #[test]
    fn wrong_settings_say_what_to_write() {
        let fails = |text: &str| loaded(text, Given::default()).expect_err(text);
        assert!(fails("").contains("--server https://host:port"));
        assert!(fails("server = \"http://a:1\"").contains("write https://"));
        assert!(fails("server = \"https://a:1\"\nport = 5").contains("ctl.toml:2: unknown field"));
        assert!(fails("server = \"https://a\"\nca = \"no.pem\"").contains("no.pem"));
    }
}
