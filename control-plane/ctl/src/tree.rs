//! Trees drawn with lines, as directories are.

/// A name and what hangs below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// In the order in which they are drawn.
    pub below: Vec<Branch>,
}

/// A line for each name, from the top: what is drawn before it, and the name.
pub fn lines(roots: &[Branch]) -> Vec<(String, &str)> {
    let mut lines = Vec::new();
    for root in roots {
        lines.push((String::new(), root.name.as_str()));
        draw(&root.below, "", &mut lines);
    }
    lines
}

fn draw<'a>(branches: &'a [Branch], margin: &str, lines: &mut Vec<(String, &'a str)>) {
    for (n, branch) in branches.iter().enumerate() {
        let is_last = n + 1 == branches.len();
        let (corner, below) = match is_last {
            true => ("└─ ", "   "),
            false => ("├─ ", "│  "),
        };
        lines.push((format!("{margin}{corner}"), &branch.name));
        draw(&branch.below, &format!("{margin}{below}"), lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(name: &str, below: Vec<Branch>) -> Branch {
        Branch {
            name: name.into(),
            below,
        }
    }

    #[test]
    fn the_lines_show_what_hangs_below_what() {
        let leaf = |name| branch(name, Vec::new());
        let roots = [
            branch(
                "geneva",
                vec![branch("bangkok", vec![leaf("jakarta")]), leaf("cairo")],
            ),
            branch("rome", vec![branch("paris", vec![leaf("lille")])]),
        ];
        let drawn: Vec<String> = lines(&roots)
            .into_iter()
            .map(|(margin, name)| margin + name)
            .collect();
        assert_eq!(
            drawn,
            [
                "geneva",
                "├─ bangkok",
                "│  └─ jakarta",
                "└─ cairo",
                "rome",
                "└─ paris",
                "   └─ lille",
            ]
        );
    }
}
