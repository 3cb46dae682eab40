//! `ovomesh show`: one scan, as much as there is to see.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ovomesh_api::pb::query::v1::GetScanRequest;
use ovomesh_api::verdict::Timings;
use ovomesh_api::{EggId, Row, Verdict};

use crate::escape::escaped;
use crate::picture::Picture;
use crate::{Global, Out, client, colour, row, timestamps};

/// Characters of the bar of timings, where there is room.
const BAR: usize = 60;
/// Columns beside the bar: its name before, the sum behind.
const BESIDE_BAR: usize = 22;
/// Columns before the picture.
const MARGIN: usize = 2;

const EXAMPLES: &str = "\
Examples:
  ovomesh show sim-5f0c-17
  ovomesh show 17 --site north                   when several sites have a scan of this id
  ovomesh --output json show sim-5f0c-17 | jq .verdict.provenance";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The scan's id
    #[arg(value_name = "SCAN")]
    scan: String,
    /// Its site; needed only when several have a scan of this id
    #[arg(long, value_name = "SITE", default_value = "", hide_default_value = true)]
    site: String,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let query = client::query(global).await?;
    let question = GetScanRequest { scan_id: args.scan.clone(), site: args.site.clone() };
    let row = query.get_scan(question).await.map_err(client::failure)?;
    if out.is_json() {
        out.json(&row::json(&row))?;
    } else {
        out.line(text(&row, &TimeZone::system(), out.colour, out.width))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(row: &Row, zone: &TimeZone, colour: bool, width: Option<usize>) -> String {
    let verdict = &row.verdict;
    let mut page = head(row, zone);
    page.push('\n');
    match row.preview.as_ref().map(Picture::unpack) {
        Some(Ok(picture)) => {
            let room = width.map(|width| width.saturating_sub(MARGIN));
            let line = |line: &String| format!("{:MARGIN$}{line}", "").trim_end().to_owned() + "\n";
            page.extend(picture.lines(colour, room).iter().map(line));
        }
        Some(Err(why)) => page += &format!("  ({why})\n"),
        None => page += "  (no picture was kept)\n",
    }
    page.push('\n');
    page += &decision(verdict, colour);
    page += &facts(verdict);
    if let Some(timings) = &verdict.timings {
        page += &bar(timings, width.map_or(BAR, |width| BAR.min(width.saturating_sub(BESIDE_BAR))));
    }
    page.trim_end().to_owned()
}

fn head(row: &Row, zone: &TimeZone) -> String {
    let meta = &row.meta;
    let mut head = format!("scan {}\n", meta.scan_id);
    let at = |stamp: Timestamp| timestamps::local(stamp, zone.clone());
    let egg = meta.egg_id.as_ref().map_or("unnamed", EggId::as_str);
    let tray = Some(&meta.place.tray_run).filter(|run| !run.is_empty());
    let tray = tray.map(|run| format!(" of tray run {}", escaped(run))).unwrap_or_default();
    let purpose = meta.purpose.as_str_name().trim_start_matches("PURPOSE_");
    // Writing to a String cannot fail.
    let _ = writeln!(head, "egg {egg} at {}{tray}, {purpose}", row::place(&meta.place));
    let suspect = if meta.clock_suspect { " (its clock is suspect)" } else { "" };
    let stored = row.stored_at.map_or_else(|| "-".into(), at);
    let _ = writeln!(head, "acquired {}{suspect}, stored {stored}", at(meta.acquired_at));
    head
}

fn decision(verdict: &Verdict, colour: bool) -> String {
    let mut line = colour::paint_call(verdict.call.name(), &verdict.call, colour);
    if let Some(p) = verdict.p_female {
        let _ = write!(line, "  P(female) {p:.3}");
    }
    let reason = row::reason(verdict);
    if !reason.is_empty() {
        let _ = write!(line, "  {reason}");
    }
    line + "\n"
}

fn facts(verdict: &Verdict) -> String {
    let mut facts = String::new();
    if let Some(s) = &verdict.scores {
        let _ = writeln!(
            facts,
            "scores   female {:.3}  male {:.3}  infertile {:.3}  dead {:.3}  strangeness {:.2}",
            s.female, s.male, s.infertile, s.dead, s.strangeness
        );
        if let Some(p) = &s.gonads {
            let _ = writeln!(
                facts,
                "gonads   {:.1} {:.1} {:.1} mm from the first sample",
                p.x_mm, p.y_mm, p.z_mm
            );
        }
    }
    if let Some(q) = &verdict.quality {
        let (covered, clipped) = (100.0 * q.coverage, 100.0 * q.clipped);
        let _ = writeln!(
            facts,
            "quality  SNR {:.1}  motion {:.1}  {covered:.0} % of the egg in view  {clipped:.1} % clipped  egg {:.1} ml",
            q.snr, q.motion, q.egg_ml
        );
    }
    if let Some(p) = &verdict.provenance {
        let _ = writeln!(
            facts,
            "made by  model {} ({})  preprocess {}  {} {}  batch {}  policy {}",
            escaped(&p.model),
            escaped(&p.model_sha256),
            escaped(&p.preprocess),
            escaped(&p.device),
            escaped(&p.cpu_capability),
            p.batch,
            escaped(&p.policy)
        );
    }
    facts
}

/// Where the time went, to scale. What no stage accounts for is the way between them.
fn bar(t: &Timings, length: usize) -> String {
    let stages = [
        ('.', "waiting for preprocess", t.preprocess_queued_us),
        ('P', "preprocess", t.preprocess_us),
        (':', "waiting for inference", t.inference_queued_us),
        ('I', "inference (the whole batch)", t.inference_us),
    ];
    let accounted: u64 = stages.iter().map(|(_, _, us)| u64::from(*us)).sum();
    // Each process has its own clock, so the parts may be a little more than the whole.
    let whole = accounted.max(u64::from(t.total_us));
    let way = whole - accounted;
    let parts = stages.map(|(letter, name, us)| (letter, name, u64::from(us)));
    let parts = parts.into_iter().chain([('-', "between the services", way)]);
    let (mut drawn, mut names, mut passed) = (String::new(), String::new(), 0);
    for (letter, name, us) in parts {
        passed += us;
        let end = (passed * length as u64).checked_div(whole).unwrap_or(0) as usize;
        drawn.extend(std::iter::repeat_n(letter, end - drawn.len()));
        let _ = writeln!(names, "         {letter} {:>8.2} ms  {name}", us as f64 / 1000.0);
    }
    format!("time     [{drawn}] {} ms\n{names}", row::milliseconds(t.total_us))
}

#[cfg(test)]
mod tests {
    use ovomesh_api::Call;
    use ovomesh_api::verdict::{Preview, Scores};

    use super::*;
    use crate::terminal;

    #[test]
    fn a_page_reads_like_this() {
        let mut row = row::tests::row("s1", Call::Female);
        let verdict = &mut row.verdict;
        verdict.scores = Some(Scores { female: 0.96, male: 0.03, strangeness: 0.4, ..Default::default() });
        verdict.timings = Some(Timings {
            total_us: 6_000,
            preprocess_queued_us: 100,
            preprocess_us: 1_100,
            inference_queued_us: 800,
            inference_us: 3_000,
        });
        row.preview = Some(Preview {
            columns: 4,
            rows: 2,
            pixels: vec![0x0f, 0xf0, 0x0f, 0xf0].into(),
            ..Default::default()
        });
        assert_eq!(
            text(&row, &TimeZone::UTC, false, None),
            "\
scan s1
egg egg-1 at north/1 #7 of tray run t, TEST
acquired 2026-11-24 09:00:00.250, stored -

   @@

FEMALE  P(female) 0.987
scores   female 0.960  male 0.030  infertile 0.000  dead 0.000  strangeness 0.40
quality  SNR 30.0  motion 0.0  0 % of the egg in view  0.0 % clipped  egg 0.0 ml
time     [.PPPPPPPPPPP::::::::IIIIIIIIIIIIIIIIIIIIIIIIIIIIII----------] 6.00 ms
         .     0.10 ms  waiting for preprocess
         P     1.10 ms  preprocess
         :     0.80 ms  waiting for inference
         I     3.00 ms  inference (the whole batch)
         -     1.00 ms  between the services"
        );
    }

    #[test]
    fn a_page_fits_a_narrow_terminal() {
        let mut row = row::tests::row("s1", Call::Female);
        let pixels = vec![0xff; 32 * 64].into();
        row.preview = Some(Preview { columns: 64, rows: 64, pixels, ..Default::default() });
        for colour in [false, true] {
            let page = text(&row, &TimeZone::UTC, colour, Some(60));
            let page = terminal::wrapped(&page, 60);
            assert!(page.lines().all(|line| terminal::visible(line) <= 60), "{page}");
            assert_eq!(page.contains('\x1b'), colour);
        }
    }

    #[test]
    fn times_of_other_clocks_never_break_the_bar() {
        let late = Timings { total_us: 10, inference_us: u32::MAX, ..Default::default() };
        assert!(bar(&late, BAR).contains(&"I".repeat(BAR)));
        assert!(bar(&Timings::default(), BAR).contains("[]"));
    }
}
