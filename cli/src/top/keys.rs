//! Keys as they are meant. Terminals are asked with blocking calls: a thread of its own does, and ends with the receiver.

use std::time::Duration;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use tokio::sync::mpsc;

/// How soon the thread notices that nobody listens any more.
const LOOK: Duration = Duration::from_millis(200);
/// Keys that wait to be looked at: nobody types ahead of this.
const WAITING: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// The details of what is under the cursor.
    Open,
    /// Out of the details; from the list: leave.
    Back,
    Leave,
}

fn meant(event: &KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        // In raw mode Ctrl-C is a key.
        KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Leave,
        KeyCode::Char('q') => Key::Leave,
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => Key::Back,
        KeyCode::Enter | KeyCode::Right => Key::Open,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Key::Home,
        KeyCode::End | KeyCode::Char('G') => Key::End,
        _ => return None,
    })
}

/// Keys, and `None` for anything else that calls for drawing anew: another size. Ends when the terminal does.
pub(crate) fn read_keys() -> mpsc::Receiver<Option<Key>> {
    let (found, keys) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        while !found.is_closed() {
            let event = match poll(LOOK) {
                Ok(true) => read(),
                Ok(false) => continue,
                Err(_) => return,
            };
            let told = match event {
                Ok(Event::Key(event)) => match meant(&event) {
                    Some(key) => Some(key),
                    None => continue,
                },
                Ok(Event::Resize(..)) => None,
                Ok(_) => continue,
                Err(_) => return,
            };
            if found.blocking_send(told).is_err() {
                return;
            }
        }
    });
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_meant() {
        let press = |code, modifiers| meant(&KeyEvent::new(code, modifiers));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Leave));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Leave));
        assert_eq!(press(KeyCode::Enter, KeyModifiers::NONE), Some(Key::Open));
        let mut release = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
        assert_eq!(meant(&release), Some(Key::Down));
        release.kind = KeyEventKind::Release;
        assert_eq!(meant(&release), None);
    }
}
