//! What metrics and labels are called for people.

use crate::outcome::{Count, Latency, Role};

/// What is counted.
pub(super) fn counted(count: Count) -> &'static str {
    match count {
        Count::Came => "People who came to the door.",
        Count::Queued => "People who had to wait in the queue.",
        Count::Joined => "People who heard something.",
        Count::Failed => "People who never heard anything, or were turned away later.",
        Count::Moved => "Moves to another edge.",
        Count::Switched => "Switches to another language.",
        Count::Objects => "Audio frames that arrived, each once.",
        Count::Bytes => "Payload bytes that arrived.",
        Count::Lost => "Audio frames that never came.",
        Count::Late => "Audio frames that came more than 400 ms after capture.",
        Count::Duplicated => "Audio frames that came again.",
        Count::Reordered => "Audio frames that came after a later one.",
        Count::Altered => "Frames that are not what was published.",
        Count::VideoObjects => "Video frames that arrived, each once.",
        Count::Missed => {
            "Speakers, languages and pictures asked for of which nothing came for two seconds or longer."
        }
        Count::VideoLost => "Video frames that never came, of groups that did.",
        Count::Gaps40ms | Count::Gaps200ms | Count::Gaps1000ms => "Times without audio.",
    }
}

/// What is timed.
pub(super) fn timed(latency: Latency) -> &'static str {
    match latency {
        Latency::Ticket => "From when somebody was due to the control plane's first answer.",
        Latency::Token => "From when somebody was due to the token.",
        Latency::Connect => "From dialling to the session with an edge.",
        Latency::FirstAudio => "From when somebody was due to the first audio frame.",
        Latency::FirstPicture => "From when somebody was due to the first picture.",
        Latency::Lag => "From an audio frame's capture to its arrival.",
        Latency::VideoLag => "From a video frame's capture to its arrival.",
        Latency::Gap => "Each person's longest time without audio.",
        Latency::Reconnect => "From the loss of an edge to audio through another.",
        Latency::Switch => "From choosing another language to hearing it.",
        Latency::Turn => "From a new speaker's first frame to when it was heard.",
    }
}

/// What a process is.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Edge => "edge",
        Role::ControlPlane => "control-plane",
        Role::Store => "store",
        Role::Paths => "paths",
        Role::Tester => "tester",
        Role::Other => "other",
    }
}
