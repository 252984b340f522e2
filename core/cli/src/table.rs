//! Rows of text in columns that line up.

/// A table under a line of titles.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned).into()] }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let shown = |cell: String| match cell {
            // A line break in a cell would break the table.
            cell if !cell.is_empty() => cell.replace(['\n', '\r'], " "),
            _ => "-".to_owned(),
        };
        self.rows.push(cells.map(shown).into());
    }

    /// Leaves out the columns in which no row says anything.
    pub(crate) fn without_empty_columns(mut self) -> Self {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let says = |column: usize| {
            let cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            cells.into_iter().any(|cell| cell != "-")
        };
        let told: Vec<bool> = (0..columns).map(says).collect();
        for row in &mut self.rows {
            let cells = std::mem::take(row).into_iter().zip(&told);
            *row = cells.filter(|(_, told)| **told).map(|(cell, _)| cell).collect();
        }
        self
    }

    /// The lines, each with its end; two blanks between columns.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["NAME", "N", "WHY"]);
        table.row(["é".into(), "100".into(), String::new()]);
        table.row(["longer".into(), String::new(), "a\nb".into()]);
        assert_eq!(table.text(), "NAME    N    WHY\né       100  -\nlonger  -    a b\n");
        let mut table = Table::new(["NAME", "N", "WHY"]);
        table.row(["a".into(), String::new(), "b".into()]);
        assert_eq!(table.without_empty_columns().text(), "NAME  WHY\na     b\n");
    }
}
