//! A talk to publish: a moving test picture with a clock and English speech, and speech alone in
//! each UN language, as WebM. Made by ffmpeg and espeak-ng, and kept until its parameters change.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::shell;

/// How the talk is made. All files last equally long, so that they can be looped together.
#[derive(Clone, Debug, PartialEq)]
pub struct TalkSpec {
    /// Whole seconds.
    pub seconds: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub rate: u32,
    /// Video bits per second.
    pub video_bitrate: u32,
    /// Frames from one keyframe to the next.
    pub keyframe_interval: u32,
    /// Audio bits per second.
    pub audio_bitrate: u32,
}

impl Default for TalkSpec {
    fn default() -> Self {
        Self {
            seconds: 30,
            width: 640,
            height: 360,
            rate: 30,
            video_bitrate: 1_500_000,
            keyframe_interval: 60,
            audio_bitrate: 24_000,
        }
    }
}

/// The files of a talk.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// VP8 video and Opus audio.
    pub video: PathBuf,
    /// Opus audio alone: language (ISO 639-1) and file.
    pub speech: Vec<(&'static str, PathBuf)>,
}

/// Takes the talk in `folder`, or makes it.
///
/// # Errors
/// If a program is missing or fails.
pub fn ensure(folder: &Path, spec: &TalkSpec) -> Result<Talk> {
    let talk = Talk {
        video: folder.join("talk.webm"),
        speech: LANGUAGES
            .iter()
            .map(|l| (l.code, folder.join(l.file_name())))
            .collect(),
    };
    let recipe = recipe(spec);
    let stamp = folder.join("recipe.txt");
    let complete = talk.speech.iter().all(|(_, file)| file.exists()) && talk.video.exists();
    if complete && fs::read_to_string(&stamp).is_ok_and(|kept| kept == recipe) {
        return Ok(talk);
    }
    fs::create_dir_all(folder)?;
    // Without its stamp, a talk that was interrupted half-way is made anew.
    let _ = fs::remove_file(&stamp);
    for language in LANGUAGES {
        speak(folder, language, spec)?;
    }
    film(folder, spec, &talk.video)?;
    fs::write(&stamp, recipe).context("cannot keep the recipe")?;
    Ok(talk)
}

struct Language {
    /// ISO 639-1.
    code: &'static str,
    /// What espeak-ng calls it.
    voice: &'static str,
    text: &'static str,
}

impl Language {
    fn file_name(&self) -> String {
        format!("speech-{}.webm", self.code)
    }
}

/// Speech that fills the whole file: said over and over, then cut.
fn speak(folder: &Path, language: &Language, spec: &TalkSpec) -> Result<()> {
    let wave = folder.join("speech.wav");
    let mut espeak = shell::command("espeak-ng", ["-v", language.voice, "-w"]);
    shell::read(espeak.arg(&wave).arg(language.text))?;
    let mut encode = ffmpeg();
    encode.args(["-stream_loop", "-1", "-i"]).arg(&wave);
    encode
        .args(["-t", &spec.seconds.to_string()])
        .args(opus(spec));
    shell::read(encode.arg(folder.join(language.file_name())))?;
    fs::remove_file(&wave).context("the speech that was just encoded is gone")
}

/// The picture carries a running clock and a frame number; the noise makes it as hard to encode
/// as a camera's.
fn film(folder: &Path, spec: &TalkSpec, file: &Path) -> Result<()> {
    let mut encode = ffmpeg();
    encode
        .args(["-f", "lavfi", "-i", &picture(spec), "-i"])
        .arg(folder.join("speech-en.webm"));
    encode
        .args(vp8(spec))
        .args(["-c:a", "copy", "-t", &spec.seconds.to_string()]);
    shell::read(encode.arg(file)).map(drop)
}

fn ffmpeg() -> std::process::Command {
    shell::command("ffmpeg", ["-v", "error", "-nostdin", "-y"])
}

fn picture(spec: &TalkSpec) -> String {
    let TalkSpec {
        width,
        height,
        rate,
        ..
    } = spec;
    format!("testsrc2=size={width}x{height}:rate={rate},noise=alls=12:allf=t,format=yuv420p")
}

fn vp8(spec: &TalkSpec) -> Vec<String> {
    let bitrate = spec.video_bitrate.to_string();
    let interval = spec.keyframe_interval.to_string();
    let options = [
        ["-c:v", "libvpx"],
        ["-deadline", "realtime"],
        ["-cpu-used", "8"],
        // Frames that are never shown would upset a live publisher's clock.
        ["-auto-alt-ref", "0"],
        ["-lag-in-frames", "0"],
        ["-b:v", &bitrate],
        ["-minrate", &bitrate],
        ["-maxrate", &bitrate],
        ["-bufsize", &bitrate],
        ["-g", &interval],
        ["-keyint_min", &interval],
    ];
    options
        .as_flattened()
        .iter()
        .map(|option| (*option).to_owned())
        .collect()
}

fn opus(spec: &TalkSpec) -> Vec<String> {
    let bitrate = spec.audio_bitrate.to_string();
    let options = [
        ["-c:a", "libopus"],
        ["-application", "voip"],
        ["-frame_duration", "20"],
        // The encoder spends bits on in-band error correction only if it expects loss.
        ["-fec", "1"],
        ["-packet_loss", "2"],
        ["-ar", "48000"],
        ["-ac", "1"],
        ["-b:a", &bitrate],
    ];
    options
        .as_flattened()
        .iter()
        .map(|option| (*option).to_owned())
        .collect()
}

/// Everything the files depend on; a change of it is a change of them.
fn recipe(spec: &TalkSpec) -> String {
    let mut recipe = format!(
        "{spec:?}\n{}\n{:?}\n{:?}\n",
        picture(spec),
        vp8(spec),
        opus(spec)
    );
    for Language { code, voice, text } in LANGUAGES {
        recipe += &format!("{code} {voice} {text}\n");
    }
    recipe
}

/// The six official languages of the United Nations.
const LANGUAGES: &[Language] = &[
    Language {
        code: "en",
        voice: "en",
        text: "Distinguished delegates, the meeting is called to order. The first item on the \
               agenda is the use of radio spectrum for broadband in rural areas. I give the floor \
               to the distinguished delegate of Thailand.",
    },
    Language {
        code: "fr",
        voice: "fr",
        text: "Mesdames et messieurs les délégués, la séance est ouverte. Le premier point de \
               l'ordre du jour porte sur le spectre radioélectrique pour le haut débit en zone \
               rurale. Je donne la parole au délégué de la Thaïlande.",
    },
    Language {
        code: "es",
        voice: "es",
        text: "Distinguidos delegados, se abre la sesión. El primer punto del orden del día es el \
               uso del espectro radioeléctrico para la banda ancha en zonas rurales. Tiene la \
               palabra el delegado de Tailandia.",
    },
    Language {
        code: "ru",
        voice: "ru",
        text: "Уважаемые делегаты, заседание открыто. Первый пункт повестки дня касается \
               использования радиочастот для широкополосной связи в сельских районах. Слово \
               предоставляется делегату Таиланда.",
    },
    Language {
        code: "ar",
        voice: "ar",
        text: "حضرات المندوبين الكرام، افتتحت الجلسة. البند الأول من جدول الأعمال هو استخدام \
               الطيف الراديوي للنطاق العريض في المناطق الريفية. الكلمة لمندوب تايلاند الموقر.",
    },
    Language {
        code: "zh",
        voice: "cmn",
        text: "各位代表，会议现在开始。议程的第一项是农村地区宽带使用无线电频谱的问题。请泰国代表发言。",
    },
];
