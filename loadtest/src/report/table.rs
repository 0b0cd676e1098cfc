//! Tables of the page. What is put into a cell is escaped here.

use super::words::escape;
use std::fmt::Write as _;

/// A table with a caption and heads; the first cell of each row is its head.
#[derive(Debug)]
pub(super) struct Table {
    html: String,
    columns: Vec<bool>,
    rows: usize,
}

impl Table {
    /// With these heads; those that end in `>` have their column's contents at the right.
    pub(super) fn new(caption: &str, heads: &[&str]) -> Table {
        let mut html = format!(
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
            escape(caption)
        );
        for head in heads {
            let (head, class) = match head.strip_suffix('>') {
                Some(head) => (head, NUMBER),
                None => (*head, ""),
            };
            let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", escape(head));
        }
        html.push_str("</tr></thead><tbody>");
        Table {
            html,
            columns: heads.iter().map(|head| head.ends_with('>')).collect(),
            rows: 0,
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row_of("", cells);
    }

    /// Adds a row of a class of the style sheet.
    pub(super) fn row_of(&mut self, class: &str, cells: impl IntoIterator<Item = String>) {
        match class {
            "" => self.html.push_str("<tr>"),
            class => {
                let _ = write!(self.html, "<tr class=\"{class}\">");
            }
        }
        for (n, cell) in cells.into_iter().enumerate() {
            let class = match self.columns.get(n) {
                Some(true) => NUMBER,
                _ => "",
            };
            let cell = escape(&cell);
            let _ = match n {
                0 => write!(self.html, "<th scope=\"row\"{class}>{cell}</th>"),
                _ => write!(self.html, "<td{class}>{cell}</td>"),
            };
        }
        self.html.push_str("</tr>");
        self.rows += 1;
    }

    /// The table; nothing if it has no row.
    pub(super) fn close(self) -> String {
        match self.rows {
            0 => String::new(),
            _ => self.html + "</tbody></table></div>\n",
        }
    }
}

const NUMBER: &str = " class=\"n\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_have_heads_and_text_stays_text() {
        let mut table = Table::new("Who <came>", &["who", "how many>"]);
        table.row(["<b>".to_owned(), "7".to_owned()]);
        let html = table.close();
        for part in [
            "<caption>Who &lt;came&gt;</caption>",
            "<th scope=\"col\" class=\"n\">how many</th>",
            "<th scope=\"row\">&lt;b&gt;</th><td class=\"n\">7</td>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert_eq!(Table::new("None", &["who"]).close(), "");
    }
}
