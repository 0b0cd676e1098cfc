//! The raw QUIC path of a relay, one stream per object, costs no allocation that bare quinn does not.

// Counting allocations takes an allocator of one's own, which is unsafe by signature.
#![allow(unsafe_code)]
// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{Over, pair, quic, soon};
use meridian_session::endpoint::QuicSettings;
use meridian_session::transport::TryRead;
use meridian_wire::Draft;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Fails only while a thread ends.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("would wait"),
    }
}

/// Fewer than a client's stream limit.
const STREAMS: usize = 100;

#[tokio::test]
async fn a_stream_allocates_no_more_than_with_bare_quinn() {
    let payload = Bytes::from_static(&[9; 160]);
    let (bare_sent, bare_read) = with_bare_quinn(payload.clone()).await;
    let (ours_sent, ours_read) = with_ours(payload).await;
    println!("allocations of {STREAMS} streams: sending {ours_sent} against {bare_sent}");
    println!("receiving {ours_read} against {bare_read}");
    // Maps in quinn grow now and then by chance of the hash, the same for both.
    assert!(
        ours_sent <= bare_sent + 2,
        "{ours_sent} against {bare_sent}"
    );
    assert!(
        ours_read <= bare_read + 2,
        "{ours_read} against {bare_read}"
    );
}

async fn with_bare_quinn(payload: Bytes) -> (u64, u64) {
    let settings = QuicSettings::client_side();
    let protocol = Draft::D22.protocol().as_bytes().to_vec();
    let (client, server, _endpoints) = quic(&settings, &settings, protocol).await;
    let mut sending = Vec::with_capacity(STREAMS);
    let sent = allocations(|| {
        for _ in 0..STREAMS {
            let mut stream = now(client.open_uni()).unwrap();
            now(stream.write_chunks(&mut [payload.clone()])).unwrap();
            stream.finish().unwrap();
            sending.push(stream);
        }
    });
    let mut streams = Vec::new();
    for stream in sending {
        streams.push(soon(server.accept_uni()).await.unwrap());
        assert_eq!(soon(stream.stopped()).await, Ok(None));
    }
    let read = allocations(|| {
        for stream in &mut streams {
            while now(stream.read_chunk(4096, true)).unwrap().is_some() {}
        }
    });
    (sent, read)
}

async fn with_ours(payload: Bytes) -> (u64, u64) {
    let pair = pair(Over::Quic, Draft::D22).await;
    let mut sending = Vec::with_capacity(STREAMS);
    let sent = allocations(|| {
        for _ in 0..STREAMS {
            let mut stream = pair.client.try_open_uni().unwrap().expect("credit");
            stream.try_write_chunk(&mut payload.clone()).unwrap();
            stream.finish().unwrap();
            sending.push(stream);
        }
    });
    let mut streams = Vec::new();
    for mut stream in sending {
        streams.push(soon(pair.server.accept_uni()).await.unwrap());
        assert_eq!(soon(stream.stopped()).await, None);
    }
    let read = allocations(|| {
        for stream in &mut streams {
            while stream.try_read_chunk(4096) != Ok(TryRead::Fin) {}
        }
    });
    (sent, read)
}
