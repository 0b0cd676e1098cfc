//! Connections and streams, the same over every transport.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{EVERY, Over, Pair, pair, pair_with, soon};
use meridian_session::endpoint::QuicSettings;
use meridian_session::transport::{ConnectionLost, RecvStream, StreamError, Transport, TryRead};
use meridian_wire::{Draft, ResetCode, TerminationCode};

async fn read_all(stream: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.read_chunk(usize::MAX).await.unwrap() {
        assert!(!chunk.is_empty());
        all.extend_from_slice(&chunk);
    }
    all
}

#[tokio::test]
async fn each_transport_negotiates_each_draft() {
    for over in EVERY {
        for draft in Draft::PREFERRED {
            let Pair { client, server, .. } = pair(over, draft).await;
            assert_eq!((client.draft(), server.draft()), (draft, draft), "{over:?}");
            let transport = match over {
                Over::Quic => Transport::Quic,
                Over::WebTransport => Transport::WebTransport,
                Over::WebSocket => Transport::Qmux,
            };
            assert_eq!(server.transport(), transport);
        }
    }
}

#[tokio::test]
async fn the_server_sees_path_and_query_of_the_url() {
    for over in [Over::WebTransport, Over::WebSocket] {
        let pair = pair(over, Draft::D22).await;
        assert_eq!(pair.server.path_and_query(), Some("/meeting?jwt=abc"));
    }
}

#[tokio::test]
async fn unidirectional_streams_carry_bytes_and_fin() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        // qmux learns of its credit from the peer's first frame.
        soon(exchange_one_stream(&pair)).await;
        let mut send = pair.client.try_open_uni().unwrap().expect("credit");
        let mut chunk = Bytes::from_static(b"hello");
        send.try_write_chunk(&mut chunk).unwrap();
        assert!(chunk.is_empty(), "{over:?}");
        send.finish().unwrap();
        let mut recv = soon(pair.server.accept_uni()).await.unwrap();
        assert_eq!(soon(read_all(&mut recv)).await, b"hello", "{over:?}");
        assert_eq!(recv.try_read_chunk(10), Ok(TryRead::Fin));
        assert_eq!(soon(send.stopped()).await, None);
    }
}

#[tokio::test]
async fn bidirectional_streams_carry_bytes_both_ways() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        let (mut send, mut recv) = soon(pair.server.open_bi()).await.unwrap();
        send.write_chunk(&mut Bytes::from_static(b"ask"))
            .await
            .unwrap();
        send.finish().unwrap();
        let (mut answer, mut asked) = soon(pair.client.accept_bi()).await.unwrap();
        assert_eq!(soon(read_all(&mut asked)).await, b"ask", "{over:?}");
        answer
            .write_chunk(&mut Bytes::from_static(b"answer"))
            .await
            .unwrap();
        answer.finish().unwrap();
        assert_eq!(soon(read_all(&mut recv)).await, b"answer", "{over:?}");
    }
}

#[tokio::test]
async fn a_blocked_stream_takes_part_of_a_chunk_and_the_rest_later() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        let whole: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let mut rest = Bytes::from(whole.clone());
        let mut send = soon(pair.client.open_uni()).await.unwrap();
        send.try_write_chunk(&mut rest).unwrap();
        let left = rest.len();
        assert!(left > 0 && left < whole.len(), "{over:?}: {left} left");

        let write = async {
            send.write_chunk(&mut rest).await.unwrap();
            send.finish().unwrap();
        };
        let read = async {
            let mut recv = pair.server.accept_uni().await.unwrap();
            read_all(&mut recv).await
        };
        let ((), read) = soon(futures_util::future::join(write, read)).await;
        assert!(read == whole, "{over:?}");
    }
}

#[tokio::test]
async fn nothing_is_lost_when_waiting_for_a_blocked_stream_is_given_up() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        let whole: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
        let mut rest = Bytes::from(whole.clone());
        let mut send = soon(pair.client.open_uni()).await.unwrap();
        // The stream is blocked for good, since nobody reads: the write is dropped in the middle.
        while futures_util::FutureExt::now_or_never(send.write_chunk(&mut rest)).is_none() {
            let before = rest.len();
            tokio::task::yield_now().await;
            send.try_write_chunk(&mut rest).unwrap();
            if rest.len() == before {
                break;
            }
        }
        let write = async {
            send.write_chunk(&mut rest).await.unwrap();
            send.finish().unwrap();
        };
        let read = async {
            let mut recv = pair.server.accept_uni().await.unwrap();
            read_all(&mut recv).await
        };
        let ((), read) = soon(futures_util::future::join(write, read)).await;
        assert!(read == whole, "{over:?}");
    }
}

#[tokio::test]
async fn without_stream_credit_nothing_is_opened_until_the_peer_gives_some() {
    let client = QuicSettings::client_side();
    let server = QuicSettings {
        max_uni_streams: 2,
        ..QuicSettings::client_side()
    };
    let pair = pair_with(Over::Quic, Draft::D22, &client, &server).await;
    let mut first = pair.client.try_open_uni().unwrap().expect("credit");
    let second = pair.client.try_open_uni().unwrap().expect("credit");
    assert!(pair.client.try_open_uni().unwrap().is_none());

    first.finish().unwrap();
    let mut recv = soon(pair.server.accept_uni()).await.unwrap();
    assert!(soon(read_all(&mut recv)).await.is_empty());
    let third = soon(pair.client.open_uni()).await.unwrap();
    drop((second, third));
}

#[tokio::test]
async fn raising_the_limit_gives_credit_at_once() {
    let client = QuicSettings::client_side();
    let server = QuicSettings {
        max_uni_streams: 1,
        ..QuicSettings::client_side()
    };
    let pair = pair_with(Over::Quic, Draft::D22, &client, &server).await;
    let _first = pair.client.try_open_uni().unwrap().expect("credit");
    assert!(pair.client.try_open_uni().unwrap().is_none());
    pair.server.set_max_uni_streams(64);
    soon(pair.client.open_uni()).await.unwrap();
}

#[tokio::test]
async fn a_reset_arrives_with_its_code() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        let mut send = soon(pair.client.open_uni()).await.unwrap();
        send.write_chunk(&mut Bytes::from_static(b"x"))
            .await
            .unwrap();
        let mut recv = soon(pair.server.accept_uni()).await.unwrap();
        assert_eq!(
            soon(recv.read_chunk(10)).await,
            Ok(Some(Bytes::from_static(b"x")))
        );
        assert_eq!(recv.try_read_chunk(10), Ok(TryRead::Pending));
        send.reset(ResetCode::DELIVERY_TIMEOUT).unwrap();
        let end = soon(recv.read_chunk(10)).await;
        assert_eq!(
            end,
            Err(StreamError::Reset(ResetCode::DELIVERY_TIMEOUT)),
            "{over:?}"
        );
    }
}

#[tokio::test]
async fn a_stop_arrives_with_its_code() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        let mut send = soon(pair.client.open_uni()).await.unwrap();
        send.write_chunk(&mut Bytes::from_static(b"x"))
            .await
            .unwrap();
        let mut recv = soon(pair.server.accept_uni()).await.unwrap();
        soon(recv.read_chunk(10)).await.unwrap();
        recv.stop(ResetCode::TOO_FAR_BEHIND);
        assert_eq!(
            soon(send.stopped()).await,
            Some(ResetCode::TOO_FAR_BEHIND),
            "{over:?}"
        );
    }
}

#[tokio::test]
async fn a_dropped_stream_is_reset_rather_than_finished() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        let mut send = soon(pair.client.open_uni()).await.unwrap();
        send.write_chunk(&mut Bytes::from_static(b"half"))
            .await
            .unwrap();
        let mut recv = soon(pair.server.accept_uni()).await.unwrap();
        soon(recv.read_chunk(10)).await.unwrap();
        drop(send);
        let end = soon(recv.read_chunk(10)).await;
        assert_eq!(
            end,
            Err(StreamError::Reset(ResetCode::CANCELLED)),
            "{over:?}"
        );
    }
}

#[tokio::test]
async fn a_blocked_stream_can_be_reset_and_finished() {
    let pair = pair(Over::WebSocket, Draft::D22).await;
    let huge = Bytes::from(vec![7_u8; 3_000_000]);
    let mut reset = soon(pair.client.open_uni()).await.unwrap();
    reset.try_write_chunk(&mut huge.clone()).unwrap();
    let mut recv = soon(pair.server.accept_uni()).await.unwrap();
    reset.reset(ResetCode::CANCELLED).unwrap();
    let end = soon(async {
        loop {
            if let Err(error) = recv.read_chunk(usize::MAX).await {
                return error;
            }
        }
    });
    assert_eq!(end.await, StreamError::Reset(ResetCode::CANCELLED));

    let mut rest = huge.clone();
    let mut finished = soon(pair.client.open_uni()).await.unwrap();
    finished.try_write_chunk(&mut rest).unwrap();
    let accepted = huge.len() - rest.len();
    finished.finish().unwrap();
    let mut recv = soon(pair.server.accept_uni()).await.unwrap();
    assert_eq!(soon(read_all(&mut recv)).await.len(), accepted);
}

#[tokio::test]
async fn datagrams_go_both_ways_unchanged() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        // qmux learns that the peer takes datagrams from its first frame.
        soon(exchange_one_stream(&pair)).await;
        assert!(pair.client.max_datagram_size() >= 1000, "{over:?}");
        let datagram = Bytes::from(vec![5; 900]);
        pair.client.send_datagram(datagram.clone()).unwrap();
        assert_eq!(soon(pair.server.read_datagram()).await.unwrap(), datagram);
        pair.server.send_datagram(datagram.clone()).unwrap();
        assert_eq!(soon(pair.client.read_datagram()).await.unwrap(), datagram);
    }
}

async fn exchange_one_stream(pair: &Pair) {
    for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        let mut send = from.open_uni().await.unwrap();
        send.finish().unwrap();
        read_all(&mut to.accept_uni().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_close_tells_the_peer_code_and_reason() {
    for over in EVERY {
        let pair = pair(over, Draft::D22).await;
        pair.server.close(TerminationCode::UNAUTHORIZED, "no token");
        let lost = soon(pair.client.closed()).await;
        let told = ConnectionLost::ClosedByPeer {
            code: TerminationCode::UNAUTHORIZED,
            reason: "no token".to_owned(),
        };
        assert_eq!(lost, told, "{over:?}");
        assert!(pair.client.try_open_uni().is_err(), "{over:?}");
    }
}

#[tokio::test]
async fn streams_of_http3_itself_are_no_streams_of_the_session() {
    let pair = pair(Over::WebTransport, Draft::D22).await;
    // A QPACK encoder stream, as browsers open one beside the session.
    let quic = pair.client.quic().unwrap();
    let mut qpack = soon(quic.open_uni()).await.unwrap();
    qpack.write_all(&[0x02, 0x3f, 0xe1]).await.unwrap();
    let mut recv = soon(pair.server.accept_uni()).await.unwrap();
    assert_eq!(soon(recv.read_chunk(10)).await, Err(StreamError::Foreign));
}
