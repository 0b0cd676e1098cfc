//! An identity provider over TLS: discovery, keys, authorization and tokens, checking what a real one checks.

use super::stage::Authority;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use meridian_control_plane::config::Identity;
use meridian_control_plane::listener;
use meridian_control_plane::oidc::config::{OidcConfig, Organiser};
use openidconnect::url::form_urlencoded;
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const CLIENT: &str = "meridian";
pub const SECRET: &str = "a client's secret";
pub const REDIRECT: &str = "https://meet.test/oidc/callback";

pub struct Provider {
    pub issuer: String,
    pub address: SocketAddr,
    pub authority: Authority,
    folder: TempDir,
    script: Arc<Mutex<Script>>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// What it says of people, and how.
pub struct Script {
    /// Signs ID tokens.
    pub signer: Arc<Key>,
    /// Is published.
    pub published: Arc<Key>,
    /// Written over the claims of each ID token.
    pub claims: Value,
    /// What is answered instead of its discovery document.
    pub discovery: Option<String>,
    issuer: String,
    codes: HashMap<String, Asked>,
}

#[derive(Clone)]
struct Asked {
    nonce: String,
    challenge: String,
}

/// A key that signs ID tokens.
pub struct Key {
    id: String,
    pair: KeyPair,
    is_rsa: bool,
}

impl Key {
    pub fn ed25519(id: &str) -> Arc<Key> {
        Arc::new(Key {
            id: id.to_owned(),
            pair: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
            is_rsa: false,
        })
    }

    pub fn rsa(id: &str) -> Arc<Key> {
        Arc::new(Key {
            id: id.to_owned(),
            pair: KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
            is_rsa: true,
        })
    }

    fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.pair.public_key_raw();
        if self.is_rsa {
            let (n, e) = rsa_parts(public);
            json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": encode(n), "e": encode(e)})
        } else {
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id, "x": encode(public)})
        }
    }

    fn token(&self, claims: &Value) -> String {
        let alg = if self.is_rsa { "RS256" } else { "EdDSA" };
        let header = json!({"alg": alg, "kid": self.id, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Provider {
    pub async fn start() -> Provider {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.sign("localhost");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ca = write("ca.pem", &authority.pem());
        write("secret", &format!("{SECRET}\n"));
        let identity = Identity {
            certificate: write("provider.pem", &certificate),
            key: write("provider.key", &key),
        };
        let bound = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = bound.local_addr().unwrap();
        let issuer = format!("https://localhost:{}", address.port());
        let key = Key::ed25519("one");
        let script = Arc::new(Mutex::new(Script {
            signer: key.clone(),
            published: key,
            claims: json!({}),
            discovery: None,
            issuer: issuer.clone(),
            codes: HashMap::new(),
        }));
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(script.clone());
        let tls = listener::tls(&identity, &ca).unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(listener::serve(
            bound,
            tls,
            app,
            Default::default(),
            stopped,
        ));
        Provider {
            issuer,
            address,
            authority,
            folder,
            script,
            stop,
            serving,
        }
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// What a replica is told of it.
    pub fn config(&self) -> OidcConfig {
        OidcConfig {
            issuer: self.issuer.clone(),
            client_id: CLIENT.into(),
            client_secret_file: Some(self.folder.path().join("secret")),
            redirect_url: REDIRECT.into(),
            scopes: vec!["email".into()],
            ca: Some(self.folder.path().join("ca.pem")),
            organisers: vec![Organiser {
                email: "Olga@example.org".into(),
                offices: vec!["geneva".into(), "bangkok".into()],
            }],
            operators: vec!["oscar@example.org".into()],
        }
    }

    /// Nobody listens there any more.
    pub async fn stop(self) -> TempDir {
        self.stop.send_replace(true);
        self.serving.await.unwrap();
        self.folder
    }
}

async fn discovery(State(script): State<Arc<Mutex<Script>>>) -> Response {
    let script = script.lock().unwrap();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    if let Some(text) = &script.discovery {
        return (kind, text.clone()).into_response();
    }
    let issuer = &script.issuer;
    let text = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "EdDSA"],
    });
    (kind, text.to_string()).into_response()
}

async fn keys(State(script): State<Arc<Mutex<Script>>>) -> Response {
    let text = json!({"keys": [script.lock().unwrap().published.jwk()]});
    (
        [(header::CONTENT_TYPE, "application/json")],
        text.to_string(),
    )
        .into_response()
}

async fn authorize(
    State(script): State<Arc<Mutex<Script>>>,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    let expected = [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in expected {
        assert_eq!(asked[name], value, "{name}");
    }
    let code = format!("code-{}", asked["state"]);
    let place = format!("{REDIRECT}?code={code}&state={}", asked["state"]);
    let asked = Asked {
        nonce: asked["nonce"].clone(),
        challenge: asked["code_challenge"].clone(),
    };
    script.lock().unwrap().codes.insert(code, asked);
    (StatusCode::FOUND, [(header::LOCATION, place)]).into_response()
}

async fn token(
    State(script): State<Arc<Mutex<Script>>>,
    headers: HeaderMap,
    form: Bytes,
) -> Response {
    let form: HashMap<String, String> = form_urlencoded::parse(&form).into_owned().collect();
    let mut script = script.lock().unwrap();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let refuse = |error: &str| {
        let text = json!({"error": error}).to_string();
        (StatusCode::BAD_REQUEST, kind.clone(), text).into_response()
    };
    let secret: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{secret}")));
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|value| value != basic.as_str())
    {
        return refuse("invalid_client");
    }
    let verifier = PkceCodeVerifier::new(form["code_verifier"].clone());
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let Some(asked) = script.codes.remove(&form["code"]) else {
        return refuse("invalid_grant");
    };
    if asked.challenge != challenge.as_str() || form["redirect_uri"] != REDIRECT {
        return refuse("invalid_grant");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut claims = json!({
        "iss": script.issuer,
        "aud": CLIENT,
        "sub": "somebody",
        "iat": now,
        "exp": now + 300,
        "nonce": asked.nonce,
        "email": "ann@example.org",
        "email_verified": true,
    });
    for (name, value) in script.claims.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let answer = json!({
        "access_token": "not used",
        "token_type": "Bearer",
        "id_token": script.signer.token(&claims),
    });
    (kind, answer.to_string()).into_response()
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017, A.1.1), without a leading zero.
fn rsa_parts(der: &[u8]) -> (&[u8], &[u8]) {
    let (_, sequence, _) = element(der);
    let (_, n, rest) = element(sequence);
    let (_, e, _) = element(rest);
    (n.strip_prefix(&[0]).unwrap_or(n), e)
}

/// The first element's tag and content, and what follows it.
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (head, length) = match der[1] {
        short @ 0..=127 => (2, usize::from(short)),
        long => {
            let digits = usize::from(long & 127);
            let bytes = &der[2..2 + digits];
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (2 + digits, length)
        }
    };
    (der[0], &der[head..head + length], &der[head + length..])
}
