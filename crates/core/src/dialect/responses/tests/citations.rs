//! Where sources are cited: places in a text here, in the whole answer everywhere else.

use super::streams::{call, decode, encode_all, events, text};
use super::*;
use crate::chat::{Citation, Content, Event};

#[test]
fn places_of_sources_count_from_the_start_of_their_text() {
    let cite = |range| {
        let (url, native) = (Some("https://x.test".into()), json!({}));
        let citation = Citation { origin: Dialect::Gemini, url, title: None, quote: None, range, native };
        Event::Citation { choice: 0, citation: Box::new(citation) }
    };
    let said = [text("Grüße. "), cite(None), call(0), text("Ja."), cite(Some((7, 9))), cite(None), Event::Done];
    let written = encode_all(&said);
    let last = value(&events(&written).last().unwrap().1);
    let places: Vec<_> = last["response"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["content"][0]["annotations"].as_array())
        .flatten()
        .map(|a| (a["start_index"].as_u64().unwrap(), a["end_index"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [(0, 7), (0, 2), (0, 3)]);
    // Read again, they are places in the whole answer.
    let ranges: Vec<_> = decode(&written)
        .unwrap()
        .into_iter()
        .filter_map(|e| match e {
            Event::Citation { citation, .. } => citation.range,
            _ => None,
        })
        .collect();
    assert_eq!(ranges, [(0, 7), (7, 9), (7, 10)]);
    let whole = decode_response(last["response"].to_string().as_bytes()).unwrap();
    let ranges: Vec<_> = whole.choices[0]
        .parts
        .iter()
        .filter_map(|p| match &p.content {
            Content::Text { citations, .. } => Some(citations),
            _ => None,
        })
        .flatten()
        .filter_map(|c| c.range)
        .collect();
    assert_eq!(ranges, [(0, 7), (7, 9), (7, 10)]);
}
