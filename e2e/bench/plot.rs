//! The rows as a picture: memory and CPU over the number of objects.

use std::path::Path;

use plotters::prelude::*;

use crate::Row;

/// What is reached for: resident memory of a process that knows nothing, MB, and how many times the JSON on top.
const REACH: (f64, f64) = (40.0, 1.5);

const OPERATOR: RGBColor = RGBColor(31, 94, 158);
const FLOOR: RGBColor = RGBColor(120, 120, 120);
const BOUND: RGBColor = RGBColor(198, 110, 30);

type Line = (&'static str, RGBColor, fn(&Row) -> f64);

pub fn draw(rows: &[Row], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (1000, 380)).into_drawing_area();
    root.fill(&WHITE)?;
    let parts = root.split_evenly((1, 2));
    let memory: [Line; 4] = [
        ("operator, resident", OPERATOR, |r| r.start.resident),
        ("operator, at most", OPERATOR, |r| r.start.peak),
        ("bare reflector, resident", FLOOR, |r| r.floor.resident),
        ("40 MB + 1.5 x JSON", BOUND, |r| REACH.0 + REACH.1 * r.json),
    ];
    let cpu: [Line; 3] = [
        ("operator, start to quiet", OPERATOR, |r| r.start.cpu),
        ("bare reflector, lists in", FLOOR, |r| r.floor.cpu),
        ("2 x bare reflector", BOUND, |r| 2.0 * r.floor.cpu),
    ];
    part(&parts[0], rows, "MB", &memory)?;
    part(&parts[1], rows, "CPU seconds", &cpu)?;
    root.present()?;
    Ok(())
}

fn part(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    rows: &[Row],
    unit: &str,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let objects = |r: &Row| f64::from(u32::try_from(3 * r.tickets).unwrap_or(u32::MAX)) / 1000.0;
    let most = rows.iter().map(objects).fold(1.0, f64::max);
    let highest = rows.iter().flat_map(|r| lines.iter().map(move |(_, _, value)| value(r))).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..most * 1.02, 0.0..highest * 1.15)?;
    chart.configure_mesh().x_desc("thousand objects").y_desc(unit).disable_x_mesh().light_line_style(TRANSPARENT).draw()?;
    for (name, color, value) in lines {
        let points: Vec<_> = rows.iter().map(|r| (objects(r), value(r))).collect();
        let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?;
        line.label(*name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).draw()?;
    Ok(())
}
