//! A terminal that remembers.

use std::sync::{Arc, Mutex};

/// A terminal of 80 columns, as far as it is needed.
#[derive(Debug, Default)]
pub struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Everything that was ever written.
    pub written: String,
    /// Does every write fail?
    pub gone: bool,
}

impl Screen {
    fn write(&mut self, text: &str) {
        self.written.push_str(text);
        for character in text.replace(CURSOR_BACK, "").chars() {
            if character == '\n' || (self.column == 80 && character != '\r') {
                (self.row, self.column) = (self.row + 1, 0);
            }
            match character {
                '\n' => {}
                '\r' => self.column = 0,
                _ => {
                    let (row, column) = (self.row, self.column);
                    let cells = self.cells(row);
                    cells.resize(cells.len().max(column + 1), ' ');
                    cells[column] = character;
                    self.column += 1;
                }
            }
        }
    }

    fn cells(&mut self, row: usize) -> &mut Vec<char> {
        self.rows.resize(self.rows.len().max(row + 1), Vec::new());
        &mut self.rows[row]
    }

    pub fn text(&self) -> String {
        self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }
}

pub const CURSOR_BACK: &str = "\u{1b}[?25h\u{1b}[0m";

#[derive(Clone, Debug, Default)]
pub struct Tty(pub Arc<Mutex<Screen>>);

impl Tty {
    fn screen(&self, change: impl FnOnce(&mut Screen)) -> std::io::Result<()> {
        let mut screen = self.0.lock().unwrap();
        change(&mut screen);
        if screen.gone { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl indicatif::TermLike for Tty {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        self.screen(|screen| screen.row -= n)
    }
    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.screen(|screen| screen.row += n)
    }
    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        self.screen(|screen| screen.column += n)
    }
    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        self.screen(|screen| screen.column -= n)
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.screen(|screen| screen.write(&format!("{text}\n")))
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.screen(|screen| screen.write(text))
    }
    fn clear_line(&self) -> std::io::Result<()> {
        self.screen(|screen| {
            let row = screen.row;
            screen.cells(row).clear();
            screen.column = 0;
        })
    }
    fn flush(&self) -> std::io::Result<()> {
        self.screen(|_| ())
    }
}
