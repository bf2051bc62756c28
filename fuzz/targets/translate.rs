//! Any bytes as a request, a whole answer and a stream of each dialect: decoders and encoders never panic, and a stream
//! means the same in any chunking.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use waypost_core::dialect::gate::StreamGate;
use waypost_core::dialect::{self, ReplyContext, Target};
use waypost_core::registry::{Dialect, Quirks};
use waypost_core::units::{Rng, stable_hash};

/// Below the limits on events and preambles, where chunking may decide which of two faults is found.
const LONGEST: usize = 32 << 10;

const DIALECTS: [Dialect; 5] =
    [Dialect::OpenAi, Dialect::Responses, Dialect::Anthropic, Dialect::Gemini, Dialect::Bedrock];

fuzz_target!(|data: &[u8]| {
    if data.len() > LONGEST {
        return;
    }
    for from in DIALECTS {
        let _ = dialect::parse_error(from, Some(400), data);
        let _ = dialect::inspect_event(from, b"", data);
        let _ = dialect::inspect_completion(from, data);
        request(from, data);
        for to in DIALECTS {
            let _ = dialect::translate_response(from, to, data, &ReplyContext::default(), Some("json"));
            stream(from, to, data);
        }
    }
});

fn request(from: Dialect, data: &[u8]) {
    let Ok(request) = dialect::decode_request(from, data) else { return };
    for to in DIALECTS {
        let target = Target {
            model: "m",
            cap: None,
            default_cap: 4096,
            strict: false,
            capabilities: None,
            quirks: Quirks::OPENAI,
            no_sampling: false,
        };
        if let Ok(encoded) = dialect::encode_request(to, &request, &target) {
            let _ = dialect::decode_request(to, &encoded.body);
        }
    }
}

fn stream(from: Dialect, to: Dialect, data: &[u8]) {
    let run = |cuts: &mut dyn FnMut() -> usize| {
        let mut gate = StreamGate::translate(from, to, ReplyContext::default(), None);
        let (mut out, mut at) = (Vec::new(), 0);
        while at < data.len() {
            let end = (at + cuts().max(1)).min(data.len());
            if gate.push(&Bytes::copy_from_slice(&data[at..end]), &mut out).is_err() {
                return (out.concat(), *gate.tally(), false);
            }
            at = end;
        }
        let ended = gate.finish(&mut out).is_ok();
        (out.concat(), *gate.tally(), ended)
    };
    let mut rng = Rng::new(stable_hash(data));
    let whole = run(&mut || data.len());
    let parts = run(&mut || rng.below(64));
    assert_eq!(parts, whole, "{from:?} to {to:?}");
}
