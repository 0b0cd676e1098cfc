//! moq-lite, version 03: as much of it as it takes to publish the programme and to hear it.
//!
//! It is the only thing that moq-relay speaks over io_uring. No SETUP, no datagrams; numbers are QUIC's.

use super::publisher::{NAMESPACE, track_title};
use super::shape::{Shape, Stamp};
use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use meridian_session::transport::{Connection, RecvStream, SendStream};
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupEvent, SubgroupHeader, SubgroupId};

/// Its name in TLS.
pub(super) const ALPN: &[u8] = b"moq-lite-03";

/// What opens a request stream.
const ANNOUNCE: u64 = 1;
const SUBSCRIBE: u64 = 2;
/// What opens a stream of a group.
const GROUP: u64 = 0;
/// A broadcast is there.
const ACTIVE: u8 = 1;
/// How old a group may become before it is left out, in milliseconds: as long as an edge waits with audio.
const MAX_AGE_MS: u64 = 1000;
/// Longest message that is read.
const LONGEST: u64 = 64 * 1024;

/// A request's two streams, open for as long as it is meant.
pub(super) type Request = (SendStream, RecvStream);

/// What a relay asks of a publisher.
pub(super) enum Asked {
    /// Which broadcasts there are below a prefix.
    Announce(String),
    /// For a track, under a number of the relay's choice.
    Subscribe { id: u64, track: String },
    /// For something a publisher need not have.
    Other,
}

/// Asks for a track and waits for the answer.
pub(super) async fn subscribe(connection: &Connection, track: u8) -> Result<Request> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let mut body = BytesMut::new();
    put_number(u64::from(track), &mut body);
    put_text(&NAMESPACE.join("/"), &mut body);
    put_text(&track_title(track), &mut body);
    put_terms(&mut body);
    write(&mut send, &[SUBSCRIBE], &body).await?;
    let (kind, _) = read(&mut receive)
        .await
        .context("waiting for SUBSCRIBE_OK")?;
    ensure!(kind == 0, "the track was dropped");
    Ok((send, receive))
}

/// What the relay asks on a stream it has opened.
pub(super) async fn asked(request: &mut Request) -> Result<Asked> {
    let (kind, mut body) = read(&mut request.1).await?;
    Ok(match kind {
        ANNOUNCE => Asked::Announce(text(&mut body)?),
        SUBSCRIBE => {
            let id = number(&mut body).context("an id")?;
            text(&mut body)?;
            let track = text(&mut body)?;
            Asked::Subscribe { id, track }
        }
        _ => Asked::Other,
    })
}

/// Waits until a request is withdrawn. What is added to it changes nothing.
pub(super) async fn stands(request: &mut Request) {
    while let Ok(Some(_)) = request.1.read_chunk(LONGEST as usize).await {}
}

/// Answers that the programme is there.
pub(super) async fn announce(request: &mut Request, prefix: &str) -> Result<()> {
    let path = NAMESPACE.join("/");
    let Some(suffix) = path.strip_prefix(prefix) else {
        return Ok(());
    };
    let mut body = BytesMut::new();
    body.put_u8(ACTIVE);
    put_text(suffix.trim_start_matches('/'), &mut body);
    // Nothing lies between.
    put_number(0, &mut body);
    write(&mut request.0, &[], &body).await
}

/// Answers that a track will be sent.
pub(super) async fn accept(request: &mut Request) -> Result<()> {
    let mut body = BytesMut::new();
    put_terms(&mut body);
    write(&mut request.0, &[0], &body).await
}

/// The bytes of the `n`th object of a track that was asked for under `id`: a group's head where one begins.
pub(super) fn encode(shape: Shape, id: u64, track: u8, n: u64) -> (Stamp, Bytes) {
    let (stamp, (group, object), payload) = shape.object(track, n);
    let mut out = BytesMut::with_capacity(payload.len() + 32);
    if object == 0 {
        let mut head = BytesMut::new();
        put_number(id, &mut head);
        put_number(group, &mut head);
        put_number(GROUP, &mut out);
        put_number(head.len() as u64, &mut out);
        out.put_slice(&head);
    }
    put_number(payload.len() as u64, &mut out);
    out.put_slice(&payload);
    (stamp, out.freeze())
}

/// Finds the frames on the stream of a group, and tells of them as MoQT's decoder does.
#[derive(Debug, Default)]
pub(super) struct GroupDecoder {
    rest: Bytes,
    is_begun: bool,
    objects: u64,
    /// Of the object that has begun.
    missing: Option<u64>,
}

impl GroupDecoder {
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.rest = match self.rest.is_empty() {
            true => chunk,
            false => [&self.rest[..], &chunk[..]].concat().into(),
        };
    }

    /// What comes next, if it is there.
    pub(super) fn poll(&mut self) -> Result<Option<SubgroupEvent>> {
        if !self.is_begun {
            return self.head();
        }
        match self.missing {
            Some(0) => {
                self.missing = None;
                Ok(Some(SubgroupEvent::ObjectEnd))
            }
            Some(_) if self.rest.is_empty() => Ok(None),
            Some(missing) => {
                let here = missing.min(self.rest.len() as u64);
                self.missing = Some(missing - here);
                let payload = self.rest.split_to(here as usize);
                Ok(Some(SubgroupEvent::Payload(payload)))
            }
            None => Ok(self.object()),
        }
    }

    fn head(&mut self) -> Result<Option<SubgroupEvent>> {
        let mut rest = self.rest.clone();
        let Some((kind, mut body)) = message(&mut rest)? else {
            return Ok(None);
        };
        ensure!(kind == GROUP, "a stream of unknown kind {kind}");
        let (alias, group) = (number(&mut body), number(&mut body));
        self.rest = rest;
        self.is_begun = true;
        Ok(Some(SubgroupEvent::Header(SubgroupHeader {
            track_alias: alias.context("an id")?,
            group: group.context("a group")?,
            subgroup: SubgroupId::Zero,
            priority: None,
            has_properties: false,
            end_of_group: true,
            first_object: true,
        })))
    }

    fn object(&mut self) -> Option<SubgroupEvent> {
        let mut rest = self.rest.clone();
        let payload_len = number(&mut rest)?;
        self.rest = rest;
        self.missing = Some(payload_len);
        let id = self.objects;
        self.objects += 1;
        let header = ObjectHeader {
            id,
            properties: Bytes::new(),
            payload_len,
            status: ObjectStatus::Normal,
        };
        Some(SubgroupEvent::Object {
            header,
            wire: Bytes::new(),
            head_len: 0,
        })
    }
}

/// What a subscription is served by, the same in both directions: priority, an order that nothing heeds, age, no bounds.
fn put_terms(out: &mut BytesMut) {
    out.put_slice(&[16, 0]);
    put_number(MAX_AGE_MS, out);
    out.put_slice(&[0, 0]);
}

async fn write(stream: &mut SendStream, kinds: &[u64], body: &[u8]) -> Result<()> {
    let mut out = BytesMut::new();
    for kind in kinds {
        put_number(*kind, &mut out);
    }
    put_number(body.len() as u64, &mut out);
    out.put_slice(body);
    Ok(stream.write_chunk(&mut out.freeze()).await?)
}

/// The first message of a stream, with its kind.
async fn read(stream: &mut RecvStream) -> Result<(u64, Bytes)> {
    let mut bytes = BytesMut::new();
    loop {
        let Some(chunk) = stream.read_chunk(LONGEST as usize).await? else {
            bail!("the stream ended");
        };
        bytes.put_slice(&chunk);
        if let Some(message) = message(&mut bytes.clone().freeze())? {
            return Ok(message);
        }
    }
}

/// A kind and a body, if all of it is there.
fn message(bytes: &mut Bytes) -> Result<Option<(u64, Bytes)>> {
    let (Some(kind), Some(length)) = (number(bytes), number(bytes)) else {
        return Ok(None);
    };
    ensure!(length <= LONGEST, "a message of {length} bytes");
    let is_whole = bytes.len() as u64 >= length;
    Ok(is_whole.then(|| (kind, bytes.split_to(length as usize))))
}

fn text(bytes: &mut Bytes) -> Result<String> {
    let length = number(bytes).context("a length")?;
    ensure!(length <= bytes.len() as u64, "a text is cut short");
    let text = bytes.split_to(length as usize);
    Ok(String::from_utf8(text.to_vec())?)
}

fn put_text(text: &str, out: &mut BytesMut) {
    put_number(text.len() as u64, out);
    out.put_slice(text.as_bytes());
}

/// RFC 9000 §16; `None` if it is not all there.
fn number(bytes: &mut Bytes) -> Option<u64> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    (bytes.len() >= length).then(|| bytes.get_uint(length) & (u64::MAX >> (66 - 8 * length)))
}

/// Larger ones than 30 bits do not occur.
fn put_number(number: u64, out: &mut BytesMut) {
    match number {
        0..0x40 => out.put_u8(number as u8),
        0x40..0x4000 => out.put_u16(0x4000 | number as u16),
        _ => out.put_u32(0x8000_0000 | number as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_quic() {
        for (value, bytes) in [
            (37, &[0x25][..]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
        ] {
            let mut out = BytesMut::new();
            put_number(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(number(&mut out.freeze()), Some(value));
        }
        let eight = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        let value = number(&mut Bytes::copy_from_slice(&eight));
        assert_eq!(value, Some(151_288_809_941_952_652));
        assert_eq!(number(&mut Bytes::copy_from_slice(&eight[..7])), None);
    }

    #[test]
    fn a_group_is_read_however_it_is_cut() {
        let bytes: Vec<_> = (60..63).map(|n| encode(Shape::Video, 5, 0, n).1).collect();
        let bytes: Bytes = bytes.concat().into();
        for cut in [0, 1, 3, 4, 5, 7, 100, 40_009, bytes.len()] {
            let mut decoder = GroupDecoder::default();
            let (mut head, mut lengths, mut got, mut ends) = (None, Vec::new(), 0, 0);
            for part in [bytes.slice(..cut), bytes.slice(cut..)] {
                decoder.push(part);
                while let Some(event) = decoder.poll().expect("well-formed") {
                    match event {
                        SubgroupEvent::Header(header) => {
                            head = Some((header.track_alias, header.group));
                        }
                        SubgroupEvent::Object { header, .. } => lengths.push(header.payload_len),
                        SubgroupEvent::Payload(bytes) => got += bytes.len(),
                        SubgroupEvent::ObjectEnd => ends += 1,
                    }
                }
            }
            let expected: Vec<_> = (0..3).map(|n| Shape::Video.payload_len(n) as u64).collect();
            assert_eq!((head, ends), (Some((5, 2)), 3), "cut at {cut}");
            assert_eq!(got as u64, expected.iter().sum::<u64>());
            assert_eq!(lengths, expected);
        }
    }
}
