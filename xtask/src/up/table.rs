//! A plain text table: columns as wide as their widest cell, numbers to the right.

use std::fmt;

/// A table with a heading.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. Every row must have as many cells as the heading.
    pub fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Self {
        Self {
            rows: vec![heading.into_iter().map(Into::into).collect()],
        }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells: Vec<_> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.rows[0].len(), "a cell for each column");
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = 0..self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        columns.map(width).collect()
    }

    /// A column of numbers, judged below the heading; cells of `-` mean "none".
    fn is_numeric(&self, column: usize) -> bool {
        self.rows[1..]
            .iter()
            .all(|row| row[column].starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                line += &match self.is_numeric(column) {
                    true => format!("{gap}{cell:>width$}"),
                    false => format!("{gap}{cell:<width$}"),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let mut table = Table::new(["hop", "lag ms", "loss"]);
        table.row(["Bangkok → Geneva", "79.4", "0.0 %"]);
        table.row(["Geneva → Addis Ababa", "145.1", "-"]);
        let expected = "\
hop                   lag ms   loss
Bangkok → Geneva        79.4  0.0 %
Geneva → Addis Ababa   145.1      -
";
        assert_eq!(table.to_string(), expected);
    }
}
