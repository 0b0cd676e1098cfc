//! The few pages of a sign-in: plain, without script or style, kept by nobody.

use super::people::Signed;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why somebody could not sign in, and what they can do.
pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    html(
        status,
        "You are not signed in",
        &format!("<p>{}</p>", escaped(text)),
    )
}

/// An organiser's or operator's token: JSON for programs, a page for people.
pub(super) fn access(signed: &Signed, headers: &HeaderMap) -> Response {
    let wants_json = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    let access = &signed.access;
    if wants_json {
        let text = serde_json::json!({
            "token": signed.token,
            "subject": access.sub,
            "operator": access.operator,
            "offices": access.offices,
            "expires_at_s": access.exp,
        });
        return (fixed("application/json"), text.to_string()).into_response();
    }
    let can = match access.operator {
        true => "an operator".to_owned(),
        false => format!("an organiser for {}", access.offices.join(", ")),
    };
    let who = escaped(&format!("You are {}, {can}.", access.sub));
    html(
        StatusCode::OK,
        "You are signed in",
        &format!(
            "<p>{who} This access token is good for 12 hours. Give it to <code>meridianctl</code>, and to nobody.</p>\
             <pre>{}</pre>",
            escaped(&signed.token)
        ),
    )
}

/// Nothing on it may load, run, or be framed.
const POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\
         <body><h1>{title}</h1>{body}</body></html>\n"
    );
    (status, fixed("text/html; charset=utf-8"), text).into_response()
}

fn fixed(kind: &'static str) -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// Text that is shown as it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_is_shown_and_never_run() {
        assert_eq!(
            escaped("<a b='c' & \"d\">"),
            "&lt;a b=&#39;c&#39; &amp; &quot;d&quot;&gt;"
        );
    }
}
