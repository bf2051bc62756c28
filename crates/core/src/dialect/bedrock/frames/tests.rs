use super::*;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

fn event(name: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_event(&mut out, name, |out| out.extend_from_slice(payload.as_bytes()));
    out
}

/// All messages of `stream`, cut at `cuts`.
fn split(stream: &[u8], cuts: &[usize]) -> Result<Vec<(String, Vec<u8>)>, FrameFault> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([stream.len()]) {
        let chunk = &stream[from..to.max(from)];
        from = to.max(from);
        let mut at = 0;
        while let Some(piece) = frames.next(chunk, &mut at)? {
            let frame = Frame::parse(piece.bytes(chunk))?;
            found.push((frame.name.into_owned(), frame.payload.into_owned()));
        }
        assert_eq!(at, chunk.len());
    }
    assert!(!frames.is_inside(), "{:?}", frames.finish());
    Ok(found)
}

/// What the maintained crate reads.
fn judged(mut stream: &[u8]) -> Vec<Message> {
    let mut decoder = MessageFrameDecoder::new();
    let mut messages = Vec::new();
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut stream).unwrap() {
        messages.push(message);
    }
    messages
}

#[test]
fn an_independent_reader_takes_what_is_written() {
    let mut stream = event("contentBlockDelta", r#"{"a":1}"#);
    write_exception(&mut stream, "throttlingException", |out| out.extend_from_slice(b"{}"));
    let messages = judged(&stream);
    let header = |m: &Message, name: &str| {
        let found = m.headers().iter().find(|h| h.name().as_str() == name)?;
        Some(found.value().as_string().unwrap().as_str().to_owned())
    };
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].payload().as_ref(), br#"{"a":1}"#);
    assert_eq!(header(&messages[0], ":event-type").as_deref(), Some("contentBlockDelta"));
    assert_eq!(header(&messages[0], ":message-type").as_deref(), Some("event"));
    assert_eq!(header(&messages[0], ":content-type").as_deref(), Some("application/json"));
    assert_eq!(header(&messages[1], ":exception-type").as_deref(), Some("throttlingException"));
    assert_eq!(header(&messages[1], ":message-type").as_deref(), Some("exception"));
}

#[test]
fn what_an_independent_writer_writes_is_read() {
    let text = |s: &str| HeaderValue::String(s.to_owned().into());
    let of = |headers: &[(&'static str, HeaderValue)], payload: &'static [u8]| {
        let mut message = Message::new(payload);
        for (name, value) in headers {
            message = message.add_header(Header::new(*name, value.clone()));
        }
        let mut out = Vec::new();
        write_message_to(&message, &mut out).unwrap();
        out
    };
    // Headers of every type, in any order.
    let many = [
        ("a", HeaderValue::Bool(true)),
        ("b", HeaderValue::Byte(1)),
        ("c", HeaderValue::Int16(2)),
        ("d", HeaderValue::Int32(3)),
        ("e", HeaderValue::Int64(4)),
        ("f", HeaderValue::ByteArray(vec![5; 300].into())),
        ("g", HeaderValue::Uuid(6)),
        (":message-type", text("event")),
        (":event-type", text("metadata")),
    ];
    type Case<'a> = (&'a [(&'static str, HeaderValue)], &'static [u8], Result<(&'a str, &'a str), FrameFault>);
    let cases: [Case<'_>; 6] = [
        (&many, b"{}", Ok(("metadata", "{}"))),
        (
            &[(":exception-type", text("validationException")), (":message-type", text("exception"))],
            br#"{"message":"no"}"#,
            Ok(("validationException", r#"{"message":"no"}"#)),
        ),
        (
            &[
                (":message-type", text("error")),
                (":error-code", text("InternalFailure")),
                (":error-message", text("\"gone\"")),
            ],
            b"",
            Ok(("InternalFailureException", r#"{"message":"\"gone\""}"#)),
        ),
        (&[(":message-type", text("event"))], b"{}", Err(FrameFault::Headers)),
        (&[(":event-type", HeaderValue::Int32(1))], b"{}", Err(FrameFault::Headers)),
        (&[], b"{}", Err(FrameFault::Headers)),
    ];
    for (headers, payload, want) in cases {
        let message = of(headers, payload);
        let got =
            Frame::parse(&message).map(|f| (f.name.into_owned(), String::from_utf8(f.payload.into_owned()).unwrap()));
        assert_eq!(got, want.map(|(name, payload)| (name.to_owned(), payload.to_owned())), "{headers:?}");
    }
}

#[test]
fn damage_is_seen() {
    let whole = event("contentBlockDelta", r#"{"contentBlockIndex":0}"#);
    assert_eq!(split(&whole, &[]).map(|m| m.len()), Ok(1));
    // Every single bit counts.
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bad = whole.clone();
            bad[at] ^= 1 << bit;
            let fault = split(&bad, &[]).expect_err("a flipped bit must not pass");
            let want = if at < PRELUDE { FrameFault::Prelude } else { FrameFault::Checksum };
            assert_eq!(fault, want, "byte {at}");
        }
    }
    // A page instead of a stream.
    assert_eq!(split(b"<html><body>502</body></html>", &[3]), Err(FrameFault::Prelude));
}

#[test]
fn lengths_that_lie_are_refused() {
    let prelude = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    let largest = u32::try_from(MAX_MESSAGE).unwrap();
    for (total, headers, want) in [
        (0, 0, Err(FrameFault::Prelude)),
        (15, 0, Err(FrameFault::Prelude)),
        (16, 1, Err(FrameFault::Prelude)),
        (100, 85, Err(FrameFault::Prelude)),
        (u32::MAX, 0, Err(FrameFault::Oversized)),
        (largest + 1, 0, Err(FrameFault::Oversized)),
        (largest, largest - 16, Ok(None)),
        (100, 84, Ok(None)),
    ] {
        let bytes = prelude(total, headers);
        for cut in [12, 5] {
            let mut frames = Frames::default();
            let first = frames.next(&bytes[..cut], &mut 0);
            let got = if cut == 12 { first } else { first.and_then(|_| frames.next(&bytes[cut..], &mut 0)) };
            assert_eq!(got, want, "{total} {headers}");
        }
    }
    // Headers that end too soon, or are of no type.
    for headers in [&b"\x05:a"[..], b"\x01a\x07\x00\x09x", b"\x01a\x0a", b"\x01a\x04\x00"] {
        assert_eq!(Headers::read(headers).err(), Some(FrameFault::Headers), "{headers:?}");
    }
}

#[test]
fn the_largest_message_passes() {
    let room = MAX_MESSAGE - event("metadata", "").len();
    let stream = event("metadata", &"x".repeat(room));
    assert_eq!(split(&stream, &[100, 200_000]).map(|m| m[0].1.len()), Ok(room));
    let over = event("metadata", &"x".repeat(room + 1));
    assert_eq!(split(&over, &[1000]), Err(FrameFault::Oversized));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_messages(
        payloads in prop::collection::vec(".{0,40}", 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for payload in &payloads {
            stream.extend(event("contentBlockDelta", payload));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let got = split(&stream, &cuts).unwrap();
        let want: Vec<_> =
            payloads.into_iter().map(|p| ("contentBlockDelta".to_owned(), p.into_bytes())).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at: prop::sample::Index) {
        let mut frames = Frames::default();
        let cut = at.index(bytes.len() + 1);
        for chunk in [&bytes[..cut], &bytes[cut..]] {
            let mut at = 0;
            while let Ok(Some(_)) = frames.next(chunk, &mut at) {}
        }
        let _ = Frame::parse(&bytes);
        let _ = Headers::read(&bytes);
    }
}
