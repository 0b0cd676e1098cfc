//! Line and bar charts as SVG. Series differ by dashes as well as by colour; what a chart shows stands in its description
//! too, for those who do not see it.

use super::axis::Axis;
use super::timeline::Mark;
use super::words::escape;
use std::fmt::Write as _;

/// A chart.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// How to read it.
    pub(super) hint: &'a str,
    /// From left to right.
    pub(super) x: Axis,
    /// What is counted from bottom to top, with its unit.
    pub(super) counts: &'a str,
    /// From bottom to top.
    pub(super) y: Axis,
    /// What happened, if it runs along time.
    pub(super) marks: &'a [Mark],
    /// What is drawn, the first on top.
    pub(super) series: Vec<Series>,
}

/// Values that belong together.
#[derive(Debug)]
pub(super) struct Series {
    /// What they are called.
    pub(super) name: String,
    /// How they are drawn.
    pub(super) look: Look,
    /// Stretches without holes.
    pub(super) stretches: Vec<Vec<(f64, f64)>>,
    /// What is said of them, for those who do not see them.
    pub(super) said: String,
}

/// How values are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// One of the lines of the style sheet, from 0.
    Line(usize),
    /// A thin grey line.
    Faint,
    /// Bars from the bottom, so many seconds wide.
    Bars(usize),
}

impl Series {
    /// A line without holes.
    pub(super) fn line(
        name: &str,
        look: usize,
        points: Vec<(f64, f64)>,
        say: impl Fn(f64) -> String,
    ) -> Series {
        Series::broken(name, Look::Line(look), vec![points], say)
    }

    /// A line with holes, or bars.
    pub(super) fn broken(
        name: &str,
        look: Look,
        stretches: Vec<Vec<(f64, f64)>>,
        say: impl Fn(f64) -> String,
    ) -> Series {
        let values = || stretches.iter().flatten().map(|(_, value)| *value);
        let said = match values().max_by(f64::total_cmp) {
            Some(highest) => format!(
                "{name}: at most {}, at the end {}",
                say(highest),
                say(values().next_back().unwrap_or_default())
            ),
            None => format!("{name}: nothing"),
        };
        Series {
            name: name.to_owned(),
            look,
            stretches,
            said,
        }
    }

    /// The highest value there is, at least 0.
    pub(super) fn highest(&self) -> f64 {
        let values = self.stretches.iter().flatten().map(|(_, value)| *value);
        values.fold(0.0, f64::max)
    }
}

impl Chart<'_> {
    /// A figure with title, key and drawing.
    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<figure><figcaption><b>{}</b> {}</figcaption>",
            escape(self.title),
            escape(self.hint)
        );
        html.push_str(&self.key());
        let _ = write!(
            html,
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">",
            escape(self.title)
        );
        html.push_str(&self.svg());
        html.push_str("</div></figure>\n");
        html
    }

    fn key(&self) -> String {
        let swatch = |series: &Series| {
            let class = series.look.class();
            format!(
                "<li><svg width=\"34\" height=\"12\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M1 6H33\"/></svg>{}</li>",
                escape(&series.name)
            )
        };
        let mut items: String = self.series.iter().map(swatch).collect();
        if !self.marks.is_empty() {
            items.push_str("<li><span class=\"number\">1</span>events, by number</li>");
        }
        format!("<ul class=\"key\">{items}</ul>")
    }

    fn svg(&self) -> String {
        let id = self.id;
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            escape(self.title),
            escape(&self.said())
        );
        self.draw_scales(&mut svg);
        for series in self.series.iter().rev() {
            self.draw(&mut svg, series);
        }
        draw_marks(&mut svg, &self.x, self.marks, BOTTOM);
        svg.push_str("</svg>");
        svg
    }

    /// The chart in words.
    fn said(&self) -> String {
        let mut said: Vec<&str> = vec![self.counts];
        said.extend(self.series.iter().map(|series| series.said.as_str()));
        said.join(". ") + "."
    }

    fn draw_scales(&self, svg: &mut String) {
        let _ = write!(
            svg,
            "<text class=\"unit\" x=\"0\" y=\"12\">{}</text>",
            escape(self.counts)
        );
        for (value, text) in &self.y.ticks {
            let y = self.y(*value);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text class=\"y\" x=\"{}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escape(text)
            );
        }
        draw_moments(svg, &self.x, BOTTOM);
    }

    fn draw(&self, svg: &mut String, series: &Series) {
        let mut path = String::new();
        for stretch in &series.stretches {
            for (n, (x, y)) in stretch.iter().enumerate() {
                let (x, y) = (place_x(&self.x, *x), self.y(*y));
                let _ = match series.look {
                    Look::Bars(_) if y < BOTTOM - 0.05 => write!(path, "M{x:.1} {BOTTOM}V{y:.1}"),
                    Look::Bars(_) => Ok(()),
                    _ if n == 0 => write!(path, "M{x:.1} {y:.1}"),
                    _ => write!(path, "L{x:.1} {y:.1}"),
                };
            }
            // One value alone is a dot.
            if stretch.len() == 1 && !matches!(series.look, Look::Bars(_)) {
                path.push_str("h.1");
            }
        }
        let class = series.look.class();
        let wide = match series.look {
            Look::Bars(seconds) => {
                let one = place_x(&self.x, seconds as f64) - place_x(&self.x, 0.0);
                format!(" style=\"stroke-width:{:.1}\"", (one * 0.8).max(1.2))
            }
            _ => String::new(),
        };
        let _ = write!(svg, "<path class=\"{class}\"{wide} d=\"{path}\"/>");
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.y.place(value) * (BOTTOM - TOP)
    }
}

impl Look {
    fn class(self) -> String {
        match self {
            Look::Line(n) => format!("s s{}", n % LINES),
            Look::Faint => "s faint".to_owned(),
            Look::Bars(_) => "bars".to_owned(),
        }
    }
}

/// Where a value is from left to right.
pub(super) fn place_x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (RIGHT - LEFT)
}

/// The scale along the bottom.
pub(super) fn draw_moments(svg: &mut String, axis: &Axis, bottom: f64) {
    let _ = write!(svg, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{RIGHT}\"/>");
    for (value, text) in &axis.ticks {
        let x = place_x(axis, *value);
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/><text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 17.0,
            escape(text)
        );
    }
}

/// Events: a line each, with its number on top. Numbers that are close stand in two rows; where that is not enough, the
/// line stands alone, and the table of events says which it is.
pub(super) fn draw_marks(svg: &mut String, axis: &Axis, marks: &[Mark], bottom: f64) {
    let mut ends = MARK_ROWS.map(|_| f64::MIN);
    for mark in marks {
        let x = place_x(axis, mark.at_s);
        let row = ends.iter().position(|end| x - end > MARK_WIDTH);
        let y = MARK_ROWS[row.unwrap_or(MARK_ROWS.len() - 1)];
        let _ = write!(
            svg,
            "<g class=\"mark\"><title>{} {}</title><path d=\"M{x:.1} {y:.1}V{bottom}\"/>",
            mark.number,
            escape(&mark.what)
        );
        if let Some(row) = row {
            ends[row] = x;
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y + 4.0,
                mark.number
            );
        }
        svg.push_str("</g>");
    }
}

/// Lines of the style sheet that look different.
pub(super) const LINES: usize = 6;
/// Units of the drawing, which is scaled to the page.
pub(super) const WIDTH: f64 = 760.0;
pub(super) const LEFT: f64 = 62.0;
pub(super) const RIGHT: f64 = 742.0;
/// Where events' numbers stand, and below them everything else.
const MARK_ROWS: [f64; 2] = [24.0, 41.0];
const MARK_WIDTH: f64 = 17.0;
pub(super) const TOP: f64 = 54.0;
const HEIGHT: f64 = 260.0;
const BOTTOM: f64 = 234.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<Series>) -> String {
        let mark = Mark {
            number: 1,
            at_s: 5.0,
            what: "edge-kill <rome>".to_owned(),
        };
        Chart {
            id: "people",
            title: "People & time",
            hint: "",
            x: Axis::moments(10.0),
            counts: "people",
            y: Axis::counts(8.0),
            marks: &[mark],
            series,
        }
        .html()
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let say = |value: f64| format!("{value}");
        let html = chart(vec![Series::line(
            "in",
            0,
            vec![(0.0, 0.0), (10.0, 8.0)],
            say,
        )]);
        for part in [
            "<title id=\"people-t\">People &amp; time</title>",
            "in: at most 8, at the end 8.",
            "d=\"M62.0 234.0L742.0 54.0\"",
            "1 edge-kill &lt;rome&gt;",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn a_line_with_a_hole_is_not_drawn_across_it() {
        let stretches = vec![vec![(0.0, 1.0), (1.0, 1.0)], vec![(9.0, 1.0)]];
        let series = Series::broken("edge", Look::Line(1), stretches, |v| v.to_string());
        let html = chart(vec![series]);
        assert_eq!(html.matches("class=\"s s1\"").count(), 2, "key and line");
        assert!(html.contains("h.1\""), "{html}");
    }

    #[test]
    fn numbers_of_events_never_lie_on_each_other() {
        let marks: Vec<Mark> = (1..=9)
            .map(|number| Mark {
                number,
                at_s: 5.0 + number as f64 / 10.0,
                what: String::new(),
            })
            .collect();
        let mut svg = String::new();
        draw_marks(&mut svg, &Axis::moments(10.0), &marks, BOTTOM);
        assert_eq!(svg.matches("<path").count(), 9, "each has its line");
        let mut places: Vec<(f64, f64)> = svg
            .split("<circle cx=\"")
            .skip(1)
            .map(|rest| {
                let mut numbers = rest.split('"');
                let x = numbers.next().expect("x").parse().expect("a number");
                let y = numbers.nth(1).expect("y").parse().expect("a number");
                (x, y)
            })
            .collect();
        assert!(places.len() > 2, "{places:?}");
        while let Some((x, y)) = places.pop() {
            let is_free = |(other, row): &(f64, f64)| *row != y || (x - other).abs() > 16.0;
            assert!(places.iter().all(is_free), "{x} {y}: {places:?}");
        }
    }
}
