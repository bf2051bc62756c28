//! The page: complete, closed, and safe whatever models and tasks are called.

use super::{quick, synthetic};
use waypost_learn::eval::{Efficiency, Predictions, evaluate, html};
use waypost_learn::outcome::Row;

/// Every tag is closed in its order, and no picture has a place that is no number.
pub(super) fn well_formed(page: &str) {
    for bad in ["NaN", "Minf", "Linf", "-inf", "\"inf", ">inf", " inf "] {
        assert!(!page.contains(bad), "{bad} in {page}");
    }
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/']).find(|word| !word.is_empty()).expect("a tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closes </{name}>");
        } else if !(tag.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name)) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn renamed(rows: &mut [Row], made: &mut Predictions, models: &[&str], task: &str) {
    for row in rows {
        row.task = task.to_owned();
        let outcomes = std::mem::take(&mut row.outcomes);
        row.outcomes = models.iter().map(|m| (*m).to_owned()).zip(outcomes.into_values()).collect();
    }
    made.models = models.iter().map(|m| (*m).to_owned()).collect();
}

#[test]
fn names_are_text_wherever_they_stand() {
    let (mut rows, mut made) = synthetic(31, 60, 3);
    let evil = "<script>alert('x')</script>";
    renamed(
        &mut rows,
        &mut made,
        &[evil, "\" onload=\"alert(1)", "a&b\u{0}\n</title>"],
        "</svg><img src=x onerror=alert(1)>",
    );
    let report = evaluate(&rows, &[made], None, &quick()).expect("a report");
    let page = html::page(&report, evil, &[evil.to_owned()]);
    well_formed(&page);
    for bad in ["<script", "<img", "\" onload=\"", "a&b", "\u{0}"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(page.contains("&lt;/svg&gt;&lt;img src=x onerror=alert(1)&gt;"));
}

#[test]
fn six_figures_and_nothing_from_elsewhere() {
    let (rows, made) = synthetic(32, 90, 4);
    let sets = [made.clone(), made.clone()];
    let mut report = evaluate(&rows, &sets, Some((&rows, &made)), &quick()).expect("a report");
    let without = html::page(&report, "An evaluation", &[]);
    report.figures.efficiency =
        Some(Efficiency { metric: "hgr".to_owned(), points: vec![(30, 0.1, 0.05, 0.2), (90, 0.3, 0.2, 0.35)] });
    let page = html::page(&report, "An evaluation", &["Trained on nothing.".to_owned()]);
    well_formed(&page);
    assert_eq!((page.matches("<figure>").count(), page.matches("role=\"img\"").count()), (6, 7));
    assert!(without.contains("Not measured in this run") && !page.contains("Not measured in this run"));
    for outside in ["http", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for said in
        ["Operating points", "2 trainings", "prefers-color-scheme: dark", "90 rows · 4 models", "Trained on nothing."]
    {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_gain_is_claimed_only_where_its_interval_shows_it() {
    let (rows, made) = synthetic(33, 300, 3);
    let said = |made: &Predictions| {
        let report = evaluate(&rows, std::slice::from_ref(made), None, &quick()).expect("a report");
        html::page(&report, "t", &[])
    };
    assert!(said(&made).contains("of what an oracle could gain over mixing models blindly."));
    // The same predictions for other rows: true of none.
    let mut turned = made.clone();
    turned.quality.rotate_left(7);
    assert!(!said(&turned).contains("of what an oracle could gain"), "a gain of noise is claimed");
}
