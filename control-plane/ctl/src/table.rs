//! Tables without lines: a heading, and columns two spaces apart, folded to the terminal's width.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, presets};

/// A table that is being filled.
#[derive(Debug)]
pub struct Table(comfy_table::Table);

impl Table {
    /// With these headings; those that end in `>` have their column's contents at the right.
    pub fn new(headings: &[&str]) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(headings.iter().map(|heading| heading.trim_end_matches('>')));
        let last = headings.len().saturating_sub(1);
        for (n, (column, heading)) in table.column_iter_mut().zip(headings).enumerate() {
            column.set_padding((0, if n == last { 0 } else { 2 }));
            if heading.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
            // Figures and times are of no use in pieces; words can be folded.
            if heading.ends_with(['>', ')']) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        Table(table)
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines, each ended; at most `width` columns wide if there is one.
    pub fn render(mut self, width: Option<u16>) -> String {
        match width {
            Some(width) => self
                .0
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => self.0.set_content_arrangement(ContentArrangement::Disabled),
        };
        let lines = self.0.lines();
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// Names and values below each other; each line indented by two.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| name.chars().count()).max();
    let width = widest.unwrap_or(0);
    let lines = pairs.iter();
    lines
        .map(|(name, value)| format!("  {name:width$}  {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Colour, paint};

    fn table() -> Table {
        let mut table = Table::new(&["EDGE", "RTT>", "REASON"]);
        table.row([
            "   bangkok".into(),
            "1.5 ms".into(),
            "the nearest of all that have a place".into(),
        ]);
        table.row([Colour::Red.on("rome"), "141.0 ms".into(), "gone".into()]);
        table
    }

    #[test]
    fn columns_line_up_without_lines_or_trailing_spaces() {
        let text = paint(&table().render(None), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "EDGE             RTT  REASON",
                "   bangkok    1.5 ms  the nearest of all that have a place",
                "rome        141.0 ms  gone",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_folds_what_is_long() {
        let text = paint(&table().render(Some(40)), false);
        assert!(text.lines().count() > 3, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
    }

    #[test]
    fn names_and_values_line_up() {
        let text = pairs(&[("office", "geneva".into()), ("in", "x".into())]);
        assert_eq!(text, "  office  geneva\n  in      x\n");
    }
}
