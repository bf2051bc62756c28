use std::io::Read;
use waypost_learn::{field::*, heads::*, outcome::*, prior::Label, rng::Rng, text::hand::*};
fn read(p: &str) -> Rows {
    let mut s = String::new();
    std::fs::File::open(p).unwrap().read_to_string(&mut s).unwrap();
    let mut r = Rows::default();
    r.read(p, &s).unwrap();
    r
}
fn mix(a: u64) -> u64 {
    let a = (a ^ (a >> 33)).wrapping_mul(0xff51afd7ed558ccd);
    (a ^ (a >> 33)).wrapping_mul(0xc4ceb9fe1a85ec53)
}
fn inputs(rows: &[Row], label: bool, emb: &std::collections::HashMap<String, (Vec<f32>, Vec<u32>)>) -> Inputs {
    let on = std::env::var("EMB").is_err();
    let mut d = Dense { width: HAND + if on { 64 } else { 0 }, values: vec![] };
    for r in rows {
        d.values.extend(Hand::of(&r.prompt).0);
        if on {
            d.values.extend(&emb[&r.id].0);
        }
    }
    let grams = |t: &[u32]| -> Vec<u32> {
        t.iter()
            .map(|x| mix(u64::from(*x)) as u32)
            .chain(t.windows(2).map(|w| mix((u64::from(w[0]) << 32) | u64::from(w[1])) as u32))
            .collect()
    };
    Inputs {
        dense: d,
        hashes: Some(rows.iter().map(|r| grams(&emb[&r.id].1)).collect()),
        labels: rows.iter().map(|r| if label { vec![Label::new("task", &r.task)] } else { vec![] }).collect(),
    }
}
fn embs(p: &str, into: &mut std::collections::HashMap<String, (Vec<f32>, Vec<u32>)>) {
    for l in std::fs::read_to_string(p).unwrap().lines() {
        let v: serde_json::Value = serde_json::from_str(l).unwrap();
        into.insert(
            v["id"].as_str().unwrap().into(),
            (
                v["e"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect(),
                v["t"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect(),
            ),
        );
    }
}
fn dump(path: &str, rows: &[Row], models: &[String], q: &[f32], c: &[f64]) {
    let k = models.len();
    let mut s = String::new();
    for (i, r) in rows.iter().enumerate() {
        let o = &q[i * k..][..k];
        let sc: serde_json::Map<String, serde_json::Value> =
            models.iter().enumerate().map(|(m, n)| (n.clone(), serde_json::json!(o[m].clamp(0.002, 0.998)))).collect();
        s += &{
            let co: serde_json::Map<String, serde_json::Value> =
                models.iter().enumerate().map(|(m, n)| (n.clone(), serde_json::json!(c[i * k + m]))).collect();
            serde_json::json!({"id": r.id, "scores": sc, "costs": co})
        }
        .to_string();
        s.push('\n');
    }
    std::fs::write(path, s).unwrap();
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (set, seed, label) = (&a[1], a[2].parse().unwrap(), a[3] == "label");
    let tr = read(&format!("/tmp/x/{set}.train.jsonl"));
    let mut emb = Default::default();
    embs(&format!("/tmp/x/{set}.train.emb"), &mut emb);
    embs(&format!("/tmp/x/{set}.dev.emb"), &mut emb);
    let mut tr = tr;
    let mut de = read(&format!("/tmp/x/{set}.dev.jsonl"));
    if let Some(out) = a.get(4) {
        let out: Vec<&str> = out.split(',').collect();
        let is = |r: &Row| out.iter().any(|o| r.task.contains(o));
        de.rows.extend(tr.rows.iter().filter(|r| is(r)).cloned());
        de.rows.retain(is);
        tr.rows.retain(|r| !is(r));
    }
    let m = Matrix::new(&tr.rows, None);
    let t = Targets { outputs: m.models.len(), values: m.score.iter().flatten().map(|s| *s as f32).collect() };
    let inp = inputs(&tr.rows, label, &emb);
    let buckets = (65536 / (1 + m.models.len())).next_power_of_two().min(1 << 15);
    let t0 = std::time::Instant::now();
    let out = Field::train(&inp, &t, Settings { buckets, trees: 200, threads: 2 }, &Rng::new(seed));
    eprintln!("{set} {} rows {:?} buckets {buckets} weights {:?}", tr.rows.len(), t0.elapsed(), out.weights);
    let k = m.models.len();
    let lt = Targets { outputs: k, values: m.cost.iter().flatten().map(|s| (s.max(1e-9)).ln() as f32).collect() };
    let lout = Field::train(&inp, &lt, Settings { buckets: 4096, trees: 100, threads: 2 }, &Rng::new(seed + 77));
    let smear: Vec<f64> = (0..k)
        .map(|j| {
            let (mut a, mut b) = (0.0, 0.0);
            for i in 0..tr.rows.len() {
                a += m.cost[i][j];
                b += f64::from(lout.unseen[i * k + j]).exp();
            }
            a / b
        })
        .collect();
    let costs: Vec<f64> = lout.unseen.iter().enumerate().map(|(i, v)| f64::from(*v).exp() * smear[i % k]).collect();

    dump(&format!("/tmp/x/oof.{set}.{seed}.jsonl"), &tr.rows, &m.models, &out.unseen, &costs);
    let di = inputs(&de.rows, label, &emb);
    let mut q = vec![];
    let mut s = Scratch::default();
    let mut cq = vec![];
    for i in 0..de.rows.len() {
        let mut o = vec![0f32; out.field.outputs];
        out.field.priors.add(&di.labels[i], &mut o);
        out.field.add_text(di.dense.row(i), di.hashes.as_ref().map(|h| &h[i][..]), &mut s, &mut o);
        q.extend(o);
        let mut o = vec![0f32; k];
        lout.field.priors.add(&di.labels[i], &mut o);
        lout.field.add_text(di.dense.row(i), di.hashes.as_ref().map(|h| &h[i][..]), &mut s, &mut o);
        cq.extend(o.iter().enumerate().map(|(j, v)| f64::from(*v).exp() * smear[j]));
    }
    std::fs::write(
        format!("/tmp/x/dev.{set}.data.jsonl"),
        de.rows.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect::<String>(),
    )
    .unwrap();
    dump(&format!("/tmp/x/dev.{set}.{seed}.jsonl"), &de.rows, &m.models, &q, &cq);
}
