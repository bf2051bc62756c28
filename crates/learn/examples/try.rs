use std::io::Read;
use waypost_learn::{eval::write_predictions, outcome::*, predictor::Predictor, train::*};
fn read(p: &str) -> Rows { let mut s = String::new(); std::fs::File::open(p).unwrap().read_to_string(&mut s).unwrap(); let mut r = Rows::default(); r.read(p, &s).unwrap(); r }
fn main() {
    let a: Vec<String> = std::env::args().collect(); let (set, seed, label) = (&a[1], a[2].parse().unwrap(), (a[3] == "label").then_some(RouteKey::Task));
    let mut tr = read(&format!("/tmp/x/{set}.train.jsonl")); let mut de = read(&format!("/tmp/x/{set}.dev.jsonl"));
    if let Some(out) = a.get(4) { let out: Vec<&str> = out.split(',').collect(); let is = |r: &Row| out.iter().any(|o| r.task.contains(o));
        de.rows.extend(tr.rows.iter().filter(|r| is(r)).cloned()); de.rows.retain(is); tr.rows.retain(|r| !is(r)); }
    let sample = |rows: Vec<Row>| rows.into_iter().map(|r| Sample::of(r, label)).collect::<Vec<_>>();
    let (tr, de) = (sample(tr.rows), sample(de.rows));
    let t0 = std::time::Instant::now();
    let out = train(&tr, Options { seed, route_key: label, threads: 2, resamples: 100 }, &|_| ()).unwrap();
    eprintln!("{set} {} rows {:?} file {} B, belief {} heads {:?}\n{:#?}", tr.len(), t0.elapsed(), out.predictor.write().len(), out.predictor.summary.belief, out.predictor.summary.heads, out.predictor.summary.notes);
    let p = Predictor::read(&out.predictor.write()).unwrap();
    let t0 = std::time::Instant::now();
    let q = p.predictions(&de); let rows: Vec<Row> = de.iter().map(|s| s.row.clone()).collect();
    eprintln!("predict {:?} a row; oof {:?}", t0.elapsed() / rows.len() as u32, p.summary.cross_validated.iter().filter(|c| ["apgr","cpt50","cpt80","hgr","save95","save99","save100","ece"].contains(&c.0.as_str())).map(|c| (c.0.clone(), (c.1*1e4).round()/1e4)).collect::<Vec<_>>());
    std::fs::write(format!("/tmp/x/dev.{set}.data.jsonl"), rows.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect::<String>()).unwrap();
    std::fs::write(format!("/tmp/x/dev.{set}.{seed}.jsonl"), write_predictions(&rows, &q).unwrap()).unwrap();
}
