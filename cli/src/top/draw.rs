//! One picture on the terminal: who answers, the links, what is wrong around them, the keys. Draws what it is given.

use std::time::Instant;

use lockstep_core::status::SystemStatus;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::{Picture, View};
use crate::show::status::{Arrow, COLUMNS, link_row, link_words};
use crate::show::system::{alarms, is_fine, summary};
use crate::show::units;

/// Lines for what is wrong around the links.
const ALARMS_MAX: usize = 6;
const OF_POSTURE: usize = 2;
const OF_REASON: usize = COLUMNS.len() - 1;
/// A reason is cut off at the edge, and whole in the details.
const REASON_WIDTH_MIN: u16 = 20;

/// The whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, view: &mut View, picture: &Picture, now: Instant) {
    let Some((status, _)) = picture.at(now) else {
        frame.render_widget(nobody_yet(picture), frame.area());
        return;
    };
    let found = if view.open.is_some() { Vec::new() } else { alarms(&status) };
    let below = u16::try_from(found.len().min(ALARMS_MAX)).unwrap_or(0);
    let heights =
        [Constraint::Length(2), Constraint::Min(3), Constraint::Length(below), Constraint::Length(1)];
    let [head, middle, alarm, foot] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(heading(&status, picture, now), head);
    match view.open.clone() {
        Some(link) => details(frame, middle, view, &status, picture, &link),
        None => list(frame, middle, view, &status),
    }
    frame.render_widget(alarm_lines(&found), alarm);
    let keys = if view.open.is_some() {
        "arrows scroll   esc back   q leave"
    } else {
        "arrows choose   enter details   q leave"
    };
    frame.render_widget(Paragraph::new(keys).style(dim()), foot);
}

fn nobody_yet(picture: &Picture) -> Paragraph<'static> {
    let words = picture.fault.clone().unwrap_or_else(|| "asking the coordinators".to_owned());
    Paragraph::new(words.lines().map(|line| Line::from(line.to_owned())).collect::<Vec<_>>())
}

fn heading(status: &SystemStatus, picture: &Picture, now: Instant) -> Paragraph<'static> {
    let first = Line::from(summary(status));
    let second = match (&picture.fault, picture.at(now)) {
        (Some(fault), Some((_, age))) => {
            let words = fault.lines().next().unwrap_or_default();
            let words = format!("seen {} ago; {words}", units::duration(age));
            Line::from(Span::styled(words, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)))
        }
        _ => Line::from(""),
    };
    Paragraph::new(vec![first, second])
}

fn list(frame: &mut Frame<'_>, area: Rect, view: &mut View, status: &SystemStatus) {
    view.selected = view.selected.min(status.links.len().saturating_sub(1));
    let rows: Vec<[String; COLUMNS.len()]> = status
        .links
        .iter()
        .map(|link| link_row(link, status.as_of_timestamp_seconds, Arrow::Unicode))
        .collect();
    let widths = (0..COLUMNS.len()).map(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count()).chain([COLUMNS[column].len()]);
        let width = u16::try_from(cells.max().unwrap_or(0)).unwrap_or(u16::MAX);
        if column == OF_REASON { Constraint::Min(REASON_WIDTH_MIN) } else { Constraint::Length(width) }
    });
    let widths: Vec<Constraint> = widths.collect();
    let rows = rows.into_iter().zip(&status.links).map(|(row, link)| {
        let cells = row.into_iter().enumerate().map(|(column, text)| {
            let style =
                if column == OF_POSTURE { of_posture(is_fine(link), &link.posture) } else { Style::new() };
            Cell::from(Span::styled(text, style))
        });
        Row::new(cells)
    });
    let table = Table::new(rows, widths)
        .header(Row::new(COLUMNS).style(Style::new().add_modifier(Modifier::BOLD)))
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut at = TableState::default().with_selected(Some(view.selected));
    frame.render_stateful_widget(table, area, &mut at);
}

/// All reasons, topics and partitions of a link; the last line is never scrolled away.
fn details(
    frame: &mut Frame<'_>,
    area: Rect,
    view: &mut View,
    status: &SystemStatus,
    picture: &Picture,
    link: &str,
) {
    let known = status.links.iter().find(|known| known.link == link).cloned();
    let text = match known {
        None => format!("{link}: there is no such link any more"),
        Some(mut known) => {
            if let Some(detail) = picture.detail.as_ref().filter(|detail| detail.link == link) {
                known.topics.clone_from(&detail.topics);
            }
            link_words(&known)
        }
    };
    let lines: Vec<Line<'_>> = text.lines().map(|line| Line::from(line.to_owned())).collect();
    let beyond = lines.len().saturating_sub(usize::from(area.height));
    view.scrolled = view.scrolled.min(u16::try_from(beyond).unwrap_or(u16::MAX));
    frame.render_widget(Paragraph::new(lines).scroll((view.scrolled, 0)), area);
}

fn alarm_lines(found: &[String]) -> Paragraph<'static> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (index, alarm) in found.iter().take(ALARMS_MAX).enumerate() {
        let text = if index + 1 == ALARMS_MAX && found.len() > ALARMS_MAX {
            format!("! and {} more: lockstep status", found.len() + 1 - ALARMS_MAX)
        } else {
            format!("! {alarm}")
        };
        lines.push(Line::from(Span::styled(text, Style::new().fg(Color::Yellow))));
    }
    Paragraph::new(lines)
}

/// The word says it; the colour only helps to find it.
fn of_posture(is_fine: bool, posture: &str) -> Style {
    match (is_fine, posture) {
        (true, _) => Style::new().fg(Color::Green),
        (false, "OVER_RPO") => Style::new().fg(Color::Yellow),
        _ => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
