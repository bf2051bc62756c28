//! Charts as SVG text: scales, ticks, axes and marks. Knows nothing of reports; colours are the page's classes.

use std::fmt::Write as _;

/// Text for HTML and SVG, also in attributes: names come from files, and nobody vouches for them.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// The beginning of a long name, escaped.
pub(super) fn short(name: &str, characters: usize) -> String {
    if name.chars().count() <= characters {
        return escape(name);
    }
    let start: String = name.chars().take(characters.saturating_sub(1)).collect();
    escape(&start) + "…"
}

/// From a value to a place on the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// Even steps between these two; widened where they are the same.
    pub(super) fn linear(low: f64, high: f64) -> Self {
        let room = if high > low { 0.0 } else { 0.5 * low.abs().max(0.1) };
        Self { low: low - room, high: high + room, log: false }
    }

    /// The same with a little room at both ends, for data that would touch the frame.
    pub(super) fn padded(low: f64, high: f64) -> Self {
        let room = (high - low) * 0.06;
        Self::linear(low - room, high + room)
    }

    /// Even factors between these two; both must be above 0.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low / 2.0, low * 2.0) };
        Self { low, high, log: true }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one.
    fn share(self, value: f64) -> f64 {
        let on = |x: f64| if self.log { x.max(self.low * 1e-3).log10() } else { x };
        (on(value) - on(self.low)) / (on(self.high) - on(self.low))
    }

    /// Round values within the scale, about `count` of them.
    pub(super) fn ticks(self, count: usize) -> Vec<f64> {
        let within = |x: &f64| (-1e-9..=1.0 + 1e-9).contains(&self.share(*x));
        if self.log {
            let decades = (self.high / self.low).log10();
            let steps: &[f64] = match decades {
                d if d > 4.0 => &[1.0],
                d if d > 2.0 => &[1.0, 3.0],
                d if d > 1.2 => &[1.0, 2.0, 5.0],
                _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0],
            };
            let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let all: Vec<f64> =
                powers.flat_map(|power| steps.iter().map(move |s| s * 10f64.powi(power))).filter(within).collect();
            if all.len() >= 2 {
                return all;
            }
        }
        let rough = (self.high - self.low) / count as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|x| *x <= self.high + step * 1e-9).take(50).collect()
    }
}

/// A chart being drawn: a frame with two scales, and the marks so far.
#[derive(Debug)]
pub(super) struct Chart {
    x: Scale,
    y: Scale,
    /// Left, top, right and bottom of the plot, in units of the picture.
    plot: [f64; 4],
    width: f64,
    height: f64,
    body: String,
}

/// How a value is written at a tick.
pub(super) type Write = fn(f64) -> String;

impl Chart {
    /// An empty chart of this height; `left` is the room for the names of the vertical axis.
    pub(super) fn new(x: Scale, y: Scale, left: f64, height: f64) -> Self {
        let width = 760.0;
        Self { x, y, plot: [left, 14.0, width - 22.0, height - 46.0], width, height, body: String::new() }
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, right, bottom] = self.plot;
        (left + self.x.share(x) * (right - left), bottom - self.y.share(y) * (bottom - top))
    }

    /// Draws the horizontal axis with its title and a light line at each tick.
    pub(super) fn x_axis(&mut self, title: &str, write: Write) {
        let [left, top, right, bottom] = self.plot;
        for tick in self.x.ticks(8) {
            let (x, _) = self.place(tick, 0.0);
            let _ = write!(
                self.body,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                bottom + 17.0,
                escape(&write(tick))
            );
        }
        let _ = write!(
            self.body,
            r#"<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/><text class="title" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            (left + right) / 2.0,
            self.height - 8.0,
            escape(title)
        );
    }

    /// Draws the vertical axis likewise.
    pub(super) fn y_axis(&mut self, title: &str, write: Write) {
        let [left, top, right, bottom] = self.plot;
        for tick in self.y.ticks(6) {
            let (_, y) = self.place(0.0, tick);
            let _ = write!(
                self.body,
                r#"<line class="grid" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                left - 7.0,
                y + 4.0,
                escape(&write(tick))
            );
        }
        let middle = (top + bottom) / 2.0;
        let _ = write!(
            self.body,
            r#"<text class="title" transform="translate(14 {middle:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            escape(title)
        );
    }

    fn path(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = self.place(x, y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        }
        path
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let path = self.path(points);
        let _ = write!(self.body, r#"<path class="line {class}" d="{path}"/>"#);
    }

    /// The area between two lines: `(x, low, high)`.
    pub(super) fn band(&mut self, edges: &[(f64, f64, f64)], class: &str) {
        let there = edges.iter().map(|e| (e.0, e.1));
        let path = self.path(there.chain(edges.iter().rev().map(|e| (e.0, e.2))));
        let _ = write!(self.body, r#"<path class="band {class}" d="{path}Z"/>"#);
    }

    /// The area between two lines as a mark of its own, which says what it is when pointed at.
    pub(super) fn filled(&mut self, edges: &[(f64, f64, f64)], class: &str, said: &str) {
        let there = edges.iter().map(|e| (e.0, e.1));
        let path = self.path(there.chain(edges.iter().rev().map(|e| (e.0, e.2))));
        let _ = write!(self.body, r#"<path class="{class}" d="{path}Z"><title>{}</title></path>"#, escape(said));
    }

    /// Text left of the frame, at a height of the data. The text must be escaped.
    pub(super) fn beside(&mut self, y: f64, safe: &str) {
        let (_, y) = self.place(0.0, y);
        let _ = write!(
            self.body,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{safe}</text>"#,
            self.plot[0] - 8.0,
            y + 4.0
        );
    }

    /// A dot that says what it is when pointed at.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str, said: &str) {
        let (x, y) = self.place(x, y);
        let _ = write!(
            self.body,
            r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"><title>{}</title></circle>"#,
            escape(said)
        );
    }

    /// A straight stroke between two points of the data.
    pub(super) fn stroke(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.line([from, to], class);
    }

    /// A bar over this range, from 0 up.
    pub(super) fn bar(&mut self, (from, to): (f64, f64), value: f64, class: &str, said: &str) {
        let ((x, y), (right, base)) = (self.place(from, value), self.place(to, 0.0));
        let _ = write!(
            self.body,
            r#"<rect class="bar {class}" x="{:.1}" y="{y:.1}" width="{:.1}" height="{:.1}"><title>{}</title></rect>"#,
            x + 0.75,
            (right - x - 1.5).max(0.5),
            (base - y).max(0.0),
            escape(said)
        );
    }

    /// Names dots where there is room, in the order given; a name without room is left to the dot's own title.
    pub(super) fn name(&mut self, dots: &[(f64, f64, &str)]) {
        let places: Vec<(f64, f64)> = dots.iter().map(|d| self.place(d.0, d.1)).collect();
        let mut taken: Vec<[f64; 4]> = places.iter().map(|&(x, y)| [x - 5.0, y - 5.0, x + 5.0, y + 5.0]).collect();
        let [left, top, right, bottom] = self.plot;
        for (&(x, y), (.., name)) in places.iter().zip(dots) {
            let safe = short(name, 30);
            let wide = 6.1 * name.chars().count().min(30) as f64;
            let candidates =
                [(8.0, 4.0), (-8.0 - wide, 4.0), (-wide / 2.0, -9.0), (-wide / 2.0, 17.0), (8.0, -8.0), (8.0, 16.0)];
            let frame = |(dx, dy): (f64, f64)| [x + dx, y + dy - 10.0, x + dx + wide, y + dy + 3.0];
            let free = candidates.into_iter().map(frame).find(|b| {
                let inside = b[0] >= left && b[2] <= right && b[1] >= top && b[3] <= bottom;
                inside && !taken.iter().any(|t| b[0] < t[2] && t[0] < b[2] && b[1] < t[3] && t[1] < b[3])
            });
            if let Some(b) = free {
                taken.push(b);
                let _ = write!(self.body, r#"<text class="name" x="{:.1}" y="{:.1}">{safe}</text>"#, b[0], b[3] - 3.0);
            }
        }
    }

    /// The picture; `said` tells what it shows to those who do not see it.
    pub(super) fn finish(self, said: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>"#,
            self.width,
            self.height,
            escape(said),
            self.body
        )
    }
}

/// A legend: what each class of mark stands for.
pub(super) fn legend<'a>(entries: impl IntoIterator<Item = (&'a str, Mark, String)>) -> String {
    let mut list = String::from(r#"<ul class="legend">"#);
    for (class, mark, text) in entries {
        let drawn = match mark {
            Mark::Line => format!(r#"<path class="line {class}" d="M1 7H27"/>"#),
            Mark::Band => format!(r#"<rect class="band {class}" x="1" y="2" width="26" height="10"/>"#),
            Mark::Area => format!(r#"<rect class="area {class}" x="6" y="1" width="14" height="12"/>"#),
            Mark::Dot => format!(r#"<circle class="dot {class}" cx="14" cy="7" r="4.5"/>"#),
        };
        let _ = write!(
            list,
            r#"<li><svg class="swatch" viewBox="0 0 28 14" aria-hidden="true">{drawn}</svg>{}</li>"#,
            escape(&text)
        );
    }
    list + "</ul>"
}

/// What a legend shows beside its text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Line,
    Band,
    Area,
    Dot,
}

/// US dollars for a thousand queries, from dollars a query.
pub(super) fn per_thousand(usd: f64) -> String {
    dollars(usd * 1000.0)
}

/// Dollars with as many digits as it takes to say something.
pub(super) fn dollars(usd: f64) -> String {
    let digits = if usd == 0.0 || usd >= 100.0 {
        0
    } else if usd >= 1.0 {
        2
    } else {
        (1 - usd.log10().floor() as i32).clamp(2, 12) as usize
    };
    let text = format!("{usd:.digits$}");
    // Cents keep their two places; smaller fractions lose noughts at their end.
    let kept = text.find('.').map_or(text.len(), |dot| (dot + 3).min(text.len()));
    let (whole, rest) = text.split_at(kept);
    format!("${whole}{}", rest.trim_end_matches('0'))
}

/// A share as whole or tenths of percent.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    let text = if (value - value.round()).abs() < 1e-6 { format!("{value:.0} %") } else { format!("{value:.1} %") };
    minus(text)
}

/// Three decimals.
pub(super) fn three(x: f64) -> String {
    minus(format!("{x:.3}"))
}

/// Percentage points with their sign; nothing has no sign.
pub(super) fn points(share: f64) -> String {
    minus(format!("{:+.1}", share * 100.0))
}

/// A number with a minus sign in place of the hyphen, and none before nothing.
fn minus(text: String) -> String {
    let nothing = !text.contains(|c: char| ('1'..='9').contains(&c));
    match text.strip_prefix(['-', '+']) {
        Some(rest) if nothing => rest.to_owned(),
        Some(rest) if text.starts_with('-') => format!("\u{2212}{rest}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let said = |scale: Scale| scale.ticks(6).iter().map(|t| format!("{t:.4}")).collect::<Vec<_>>().join(" ");
        assert_eq!(said(Scale::linear(0.0, 1.0)), "0.0000 0.2000 0.4000 0.6000 0.8000 1.0000");
        assert_eq!(said(Scale::log(0.02, 3.0)), "0.0300 0.1000 0.3000 1.0000 3.0000");
        assert_eq!(said(Scale::log(1e-4, 10.0)), "0.0001 0.0010 0.0100 0.1000 1.0000 10.0000");
        // A narrow range without a round power still has ticks.
        assert!(Scale::log(0.21, 0.24).ticks(6).len() >= 3);
        assert!(Scale::linear(0.5, 0.5).ticks(5).len() >= 3);
    }

    #[test]
    fn money_is_short_and_exact_enough() {
        let cases =
            [(0.0, "$0"), (250.0, "$250"), (12.5, "$12.50"), (0.3, "$0.30"), (0.0216, "$0.022"), (0.00001, "$0.00001")];
        for (usd, said) in cases {
            assert_eq!(dollars(usd), said);
        }
    }

    #[test]
    fn signs_are_written_once_and_never_before_nothing() {
        assert_eq!([0.05, -0.05, 0.0, -0.0001].map(points), ["+5.0", "\u{2212}5.0", "0.0", "0.0"].map(str::to_owned));
        assert_eq!([-0.25, 0.1234, 0.0].map(percent), ["\u{2212}25 %", "12.3 %", "0 %"].map(str::to_owned));
        assert_eq!(three(-0.0001), "0.000");
    }

    #[test]
    fn nothing_of_a_name_is_markup() {
        assert_eq!(escape("<a b='\"'>&\n"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
        assert_eq!(short("<<<<", 3), "&lt;&lt;…");
    }
}
