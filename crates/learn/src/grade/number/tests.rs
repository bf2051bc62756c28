use super::*;
use serde_json::json;

fn number(options: serde_json::Value, expected: serde_json::Value) -> Number {
    let list = expected.as_array().cloned().unwrap_or_else(|| vec![expected]);
    Number::new(serde_json::from_value(options).expect("options"), &list).expect("a grader")
}

#[track_caller]
fn check(number: &Number, right: &[&str], wrong: &[&str]) {
    for answer in right {
        let grade = number.grade(answer);
        assert_eq!(grade.score, 1.0, "{answer:?}: {}", grade.why);
    }
    for answer in wrong {
        let grade = number.grade(answer);
        assert_eq!(grade.score, 0.0, "{answer:?}: {}", grade.why);
    }
}

#[test]
fn the_number_that_is_given_counts_and_not_one_in_passing() {
    let right = [
        "42",
        "42.",
        "**42**",
        "The total is 42 apples.",
        "42.0",
        "#### 42",
        r"So we get \boxed{42}. Step 7 was the hard one.",
        r"\boxed{x = 42}",
        r"\boxed{42\text{ km}}",
        "The answer is 42 (not 41).",
        "Answer: x = 40 + 2 = 42",
        "**Answer:** 42 apples, from 6 baskets of 7.",
        "Final Answer: $42$",
        "Answer:\n\n42\n\nThis used 3 steps.",
        "I first thought the answer is 41. No: the answer is 42.",
        "6 * 7 = 42",
        "The 3rd basket makes it 42",
        "4.2e1",
        "4.2 × 10^1",
        r"0.42 \times 10^{2}",
        "$42",
        "it is x=42",
        "84/2",
        "42 km/h",
        "42km",
    ];
    let wrong = [
        "",
        "I don't know.",
        "There are 42 apples at first; 84 in the end.",
        "42 is wrong; it is 43",
        "142",
        "421",
        "4.2",
        "0.42",
        "-42",
        "40-42",
        "40\u{2013}42",
        "between 40 and 42 - say 41",
        "1,42",
        "42:10",
        "10:42",
        "2024-01-42",
        "v1.42.0",
        "A42",
        "x42",
        "42x",
        "the 42nd",
        "2^42",
        "42^2",
        "42/2",
        "42%3 is 0",
        "42 million",
        "42e3",
        r"\boxed{41}. Not 42.",
        r"\boxed{\text{unknown}}, 42",
        r"\frac{42}{x}",
        "The answer is not 42.",
        "The answer is unknown. There were 42 apples.",
        "The answer is 41. Check: 42.",
        "Answer: 5 + 37",
        "forty-two",
    ];
    check(&number(json!({}), json!(42)), &right, &wrong);
}

#[test]
fn signs_separators_fractions_and_percent_are_read() {
    check(
        &number(json!({}), json!("1,234,567")),
        &[
            "1234567",
            "1,234,567",
            "1'234'567",
            "1_234_567",
            "1\u{202f}234\u{202f}567",
            r"1{,}234{,}567",
            r"1\,234\,567",
            "$1,234,567.00",
        ],
        &["1,234", "567", "1,234,56", "12,34,567", "1234567.5", "1 234 567"],
    );
    check(
        &number(json!({}), json!(-5)),
        &["-5", "\u{2212}5", "x = -5", "-$5", "(-5)", "the answer is -5"],
        &["5", "10 - 5", "10-5", "- 5", "x-5"],
    );
    check(
        &number(json!({}), json!("3/4")),
        &["3/4", "0.75", ".75", r"\frac{3}{4}", r"\dfrac{3}{4}", "75%", "¾", r"\boxed{\frac{3}{4}}"],
        &["3", "4", "4/3", "3/4/2024", "3/0", "7.5", "75"],
    );
    check(&number(json!({}), json!("1 3/4")), &["1 3/4", "1.75", "7/4", "1¾"], &["3/4", "13/4", "1"]);
    check(
        &number(json!({}), json!("25%")),
        &["25%", "25 %", "25 percent", "25", "0.25", r"25\%"],
        &["2500", "0.25%", "2.5"],
    );
    check(&number(json!({}), json!(25)), &["25%", "25", "2500%"], &["0.25", "2500", "250%"]);
    check(&number(json!({}), json!(0)), &["0", "0.0", "-0"], &["", "none", "1e-3", "o"]);
    check(&number(json!({}), json!(3_000_000)), &["3 million", "3,000,000", "3e6", "3 × 10^6"], &["3", "3 billion"]);
}

#[test]
fn tolerances_units_and_several_answers() {
    let near = number(json!({"tolerance": 0.01}), json!(2.72));
    check(&near, &["2.71828", "2.71", "2.73"], &["2.70", "2.7316", "3"]);
    let relative = number(json!({"relative_tolerance": 0.01}), json!(1000));
    check(&relative, &["990", "1,010"], &["989", "1011"]);
    let units = number(json!({"units": {"km": 1.0, "m": 0.001}}), json!("1.5 km"));
    check(&units, &["1.5 km", "1500 m", "1.5", "1500m"], &["1500 km", "1.5 m", "1500"]);
    check(&number(json!({}), json!([1, "2"])), &["1", "2"], &["3", "12"]);
}

#[test]
fn what_is_no_number_is_refused_as_expected() {
    for (options, expected) in [
        (json!({}), json!("many")),
        (json!({}), json!("1,42")),
        (json!({}), json!("3 or 4")),
        (json!({}), json!(null)),
        (json!({"tolerance": -1.0}), json!(1)),
        (json!({"relative_tolerance": 1.0}), json!(1)),
        (json!({"units": {"km": 0.0}}), json!(1)),
    ] {
        let built =
            Number::new(serde_json::from_value(options.clone()).expect("options"), std::slice::from_ref(&expected));
        assert!(built.is_err(), "{options} {expected}");
    }
}

proptest::proptest! {
    /// Whatever an answer says, it is read without a panic, and a number written plainly is found again.
    #[test]
    fn any_text_is_read(text in ".{0,80}", n in -1_000_000i64..1_000_000) {
        let grader = number(json!({"units": {"km": 2.0}}), json!(n));
        let _ = grader.grade(&text);
        proptest::prop_assert_eq!(grader.grade(&format!("So it is {n}.")).score, 1.0);
        proptest::prop_assert_eq!(grader.grade(&format!("{n}1")).score, 0.0);
    }
}
