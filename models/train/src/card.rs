//! The text of `CARD.md`.

use crate::evaluate::Figures;
use crate::measure::{EggSet, NOMINAL_SNR};
use crate::pictures;
use crate::recipe::Recipe;
use crate::report::Report;
use crate::share::Share;
use crate::speed::Speed;
use crate::study::Study;
use crate::train::MIRRORED;
use crate::unknown::EGGS;
use std::fmt::Write as _;

/// The text of the card.
pub(crate) fn card(report: &Report) -> String {
    let mut text = String::new();
    for part in [head, required, accuracy, slices, effects, calibration, confusion, unknown, studies, speed] {
        part(report, &mut text);
    }
    text
}

fn head(report: &Report, text: &mut String) {
    let Report { manifest, provenance, training, policy, .. } = report;
    line(text, &format!("# {}/{}\n", manifest.name, manifest.version));
    line(
        text,
        "Written by the trainer from the run itself (`cargo xtask train`); change the trainer, not this page.\n\n\
         **Trained and measured on phantoms only. Nothing here says anything about real eggs.** One anatomy and one scanner model\n\
         stand for all; the gonads of the nominal and the hard profile are larger than life. A model card of real eggs starts empty.\n\n\
         What it does: from a prepared volume (16 x 48 x 48 samples of 2.8 x 1 x 1 mm, u8) it tells a living female, a living male, an\n\
         infertile egg and a dead embryo, where the gonads are, and how unlike its training images the image is. It finds the embryo on\n\
         a coarse view, turns a lattice of samples the way the embryo lies, corrects place and turn once, and looks at the gonads in the\n\
         embryo's own frame. A mirror image (liver and gizzard on the wrong side) counts as strange: the file's orientation is wrong then.\n",
    );
    line(text, "| | |\n|---|---|");
    line(text, &format!("| weights | {} thousand |", provenance.weights / 1000));
    line(
        text,
        &format!(
            "| learnt from | {} eggs, {} at a time ({}) |",
            training.eggs,
            training.eggs / training.chapters,
            provenance.data
        ),
    );
    line(
        text,
        &format!(
            "| | {} thousand scans of them, SNR {} to {}, three embryos in ten moving, {:.0} % of the images mirrored |",
            training.steps * training.batch / 1000,
            training.snr.0,
            training.snr.1,
            100.0 * MIRRORED
        ),
    );
    line(
        text,
        &format!(
            "| training | seed {}, {} steps of {} in {}, {:.0} CPU minutes |",
            training.seed,
            training.steps,
            training.batch,
            training.precision(),
            provenance.training_cpu_minutes
        ),
    );
    line(text, &format!("| trainer | {} |", provenance.trainer));
    line(text, &format!("| preprocessing | {}: serve it behind the same |", provenance.preprocess));
    let [culled, hatched, withheld] = policy.costs;
    let snr = policy.clear_snr;
    line(
        text,
        &format!(
            "| policy | {}: a culled female costs {culled}, a hatched male {hatched}, a withheld egg {withheld}, so FEMALE is called from {:.3} and MALE from {:.3} on. Below SNR {snr} a mistake costs {snr} / SNR times as much |\n",
            policy.policy, policy.female_at, policy.male_at
        ),
    );
}

/// The table of what was asked for.
fn required(report: &Report, text: &mut String) {
    line(
        text,
        "## What was asked for\n\n\
         \"Right\" is the share right of the eggs that were called FEMALE or MALE, whatever they were; \"undecided\" the share of the\n\
         living that were called neither. Eggs: 45 % female, 45 % male, 6 % infertile, 4 % dead (half of those mid-term), of a seed that\n\
         nothing was fitted to. Through preprocessing, model and policy in one process; `cargo xtask bench accuracy` does the same over gRPC.\n\n\
         | | must | aim | measured |\n|---|---|---|---|",
    );
    let mut row = |what: &str, must: &str, aim: &str, found: &str| {
        line(text, &format!("| {what} | {must} | {aim} | {found} |"));
    };
    let called = |figures: &Figures| {
        format!("{}, undecided {}", percent(figures.called_right), percent(figures.undecided))
    };
    let at = |eggs: &str, snr: f64| {
        report.measured.cases.iter().find(|set| set.eggs == eggs && set.snr == snr).map(|set| &set.figures)
    };
    if let Some(f) = at("nominal", NOMINAL_SNR) {
        row("nominal, SNR 30: right", ">= 99.3 %, undecided <= 5 %", "99.8 %, <= 2 %", &called(f));
        row("infertile and dead given a sex", "<= 1 %", "0.1 %", &percent(f.not_living_given_a_sex));
        row("calibration error (ECE), nominal", "<= 0.02", "0.01", &format!("{:.4}", f.calibration_error));
    }
    if let Some(f) = at("hard", NOMINAL_SNR) {
        row("hard (any pose), SNR 30: right", ">= 99 %, undecided <= 5 %", "99.7 %", &called(f));
        row(
            "the same: infertile and dead given a sex",
            "<= 1 %",
            "0.1 %",
            &percent(f.not_living_given_a_sex),
        );
    }
    if let Some(set) = report.nominal_snr("small") {
        let limit =
            set.limit.map_or_else(String::new, |limit| format!(", ideal observer {:.1} %", 100.0 * limit));
        let found = format!("{}{limit}", percent(set.figures.sex_right));
        row("small gonads, SNR 30, nothing withheld", "beside the limit", "within 2 points", &found);
    }
    for (eggs, snr) in [
        ("nominal", 15.0),
        ("nominal", 10.0),
        ("hard", 10.0),
        ("nominal, all moving", NOMINAL_SNR),
        ("nominal, all moving", 12.0),
    ] {
        if let Some(f) = at(eggs, snr) {
            row(&format!("{eggs}, SNR {snr}: right"), ">= 98 %, the rest undecided", "", &called(f));
        }
    }
    let odd = || report.unknown.iter().filter(|kind| !kind.kind.starts_with("eggs"));
    let given: usize = odd().map(|kind| kind.given_a_sex.hits).sum();
    let of: usize = odd().map(|kind| kind.given_a_sex.of).sum();
    let unseen = odd().filter(|kind| !kind.learnt).count();
    let found = format!("{given} of {of}; {} kinds, {unseen} of them never learnt from", odd().count());
    row("not-an-egg images given a sex", "0", "", &found);
    if let Some((steps, shares)) = seeds(report) {
        let found = format!("{:.2} points ({} trainings of {steps} steps)", spread(&shares), shares.len());
        row("training seeds: spread of the nominal figure", "three, <= 0.5 points", "", &found);
    }
    let cost = |batch: usize| {
        let found = report.speed.iter().find(|speed| speed.precision == "bf16" && speed.batch == batch);
        found.map_or_else(String::new, |speed| format!("{:.2}", speed.us_per_scan / 1000.0))
    };
    row(
        "cost of the model a scan, one core, bf16, batch 8 / 16",
        "<= 0.35 ms",
        "0.2 ms",
        &format!("{} / {} ms", cost(8), cost(16)),
    );
    text.push('\n');
}

fn accuracy(report: &Report, text: &mut String) {
    line(
        text,
        &format!(
            "## Accuracy\n\n![accuracy against SNR]({})\n\n\
             Each set of eggs is scanned once at each SNR (the trunk's signal over the noise; 30 is what is expected of a scanner). In\n\
             brackets the 95 % interval. \"Nothing withheld\": the surest class of every living egg; no embryo counts as wrong. The ideal\n\
             observer knows everything but how the gonads' volume is shared and the noise, and sees no motion.\n\n\
             | eggs, SNR | right of those called | undecided | sex right, nothing withheld | still / moving | ideal observer | kind right | centre off, median / 99 % |\n\
             |---|---|---|---|---|---|---|---|",
            pictures::SNR
        ),
    );
    let bf16 = report.measured.bf16.iter().map(|set| (format!("{}, bf16 file", set.eggs), set));
    let cases = report.measured.cases.iter().map(|set| (set.eggs.clone(), set));
    for (name, EggSet { snr, figures: f, limit, .. }) in cases.chain(bf16) {
        let limit = limit.map_or_else(String::new, |limit| format!("{limit:.3}"));
        line(
            text,
            &format!(
                "| {name}, {snr} | {} | {} | {} | {} / {} | {limit} | {} | {:.2} / {:.2} mm |",
                interval(f.called_right),
                percent(f.undecided),
                interval(f.sex_right),
                of_any(f.sex_right_still),
                of_any(f.sex_right_moving),
                digits(f.kind_right.value()),
                f.centre_mm[0],
                f.centre_mm[1]
            ),
        );
    }
    line(text, &format!("\n![abstention]({})\n", pictures::ABSTENTION));
}

fn slices(report: &Report, text: &mut String) {
    line(
        text,
        "## Who is served worse\n\n\
         Accuracy by group at SNR 30, so that a bias shows. Gain: every sample multiplied before preprocessing.\n\n\
         | eggs | by | group | living eggs | right of those called | undecided | sex right, nothing withheld |\n|---|---|---|---|---|---|---|",
    );
    for slice in &report.measured.slices {
        let f = &slice.figures;
        line(
            text,
            &format!(
                "| {} | {} | {} | {} | {} | {} | {} |",
                slice.eggs,
                slice.by,
                slice.which,
                f.eggs[1],
                interval(f.called_right),
                percent(f.undecided),
                interval(f.sex_right)
            ),
        );
    }
    text.push('\n');
}

fn effects(report: &Report, text: &mut String) {
    line(
        text,
        &format!(
            "## Size of what is looked for\n\n![accuracy against effect size]({})\n\n\
             Nominal pose, SNR 30, embryos that keep still, nothing withheld. Life is about 1.25 x 0.5 x 0.45 mm; its contrast is not known.\n\n\
             | gonad, contrast | d' | sex right | ideal observer |\n|---|---|---|---|",
            pictures::EFFECT
        ),
    );
    for effect in &report.measured.effects {
        let [x, y, z] = effect.gonad_mm;
        line(
            text,
            &format!(
                "| {x:.2} x {y:.2} x {z:.2} mm, {:.2} | {:.1} | {} | {:.3} |",
                effect.contrast,
                effect.d_prime,
                interval(effect.sex_right),
                effect.limit
            ),
        );
    }
    text.push('\n');
}

fn calibration(report: &Report, text: &mut String) {
    line(
        text,
        &format!(
            "## Calibration\n\n![reliability]({})\n\n\
             The kind of egg has one temperature ({:.2}); the sex has one for each image, out of what the net has seen of noise and motion,\n\
             fitted on eggs of all training profiles at SNR {} to {}. Expected calibration error of the surest class, ten bins:\n",
            pictures::RELIABILITY,
            report.provenance.temperature,
            report.training.snr.0,
            report.training.snr.1
        ),
    );
    let each: Vec<String> = report
        .measured
        .cases
        .iter()
        .map(|set| format!("{:.4} ({}, SNR {})", set.figures.calibration_error, set.eggs, set.snr))
        .collect();
    line(text, &format!("{}.\n", each.join(", ")));
}

fn confusion(report: &Report, text: &mut String) {
    line(
        text,
        "## Confusion, nominal, SNR 30\n\n| | FEMALE | MALE | NO_EMBRYO | UNDECIDED |\n|---|---|---|---|---|",
    );
    for (class, counts) in ["female", "male", "infertile", "dead"].iter().zip(report.measured.confusion) {
        let [female, male, none, undecided] = counts;
        line(text, &format!("| {class} | {female} | {male} | {none} | {undecided} |"));
    }
    text.push('\n');
}

fn unknown(report: &Report, text: &mut String) {
    let images = report.unknown.first().map_or(0, |unknown| unknown.given_a_sex.of);
    line(
        text,
        &format!(
            "## Images that are no eggs as it knows them\n\n\
             {images} images of each kind, made from eggs in any pose: refused by preprocessing, strange to the model (above 1), and called\n\
             FEMALE or MALE after both. \"Learnt\": it was trained to tell these; of all others it has seen none. No real images are among\n\
             them: the head is made of ellipsoids.\n\n\
             | kind | learnt | refused | strange | given a sex |\n|---|---|---|---|---|"
        ),
    );
    for unknown in &report.unknown {
        let [refused, strange] = [unknown.refused, unknown.strange].map(percent);
        let Share { hits, of } = unknown.given_a_sex;
        let learnt = if unknown.kind == EGGS || unknown.learnt { "yes" } else { "no" };
        line(text, &format!("| {} | {learnt} | {refused} | {strange} | {hits} of {of} |", unknown.kind));
    }
    text.push('\n');
}

fn studies(report: &Report, text: &mut String) {
    if report.studies.is_empty() {
        return;
    }
    line(
        text,
        "## Other seeds, and preprocessing with and without its steps\n\n\
         Each row is a training of its own, measured on the same 3,000 eggs at SNR 30 (the fp32 file): right of those called /\n\
         undecided / right with nothing withheld, in per cent. Rows of as many steps and eggs are comparable with each other.\n\n\
         | training | seed | steps, eggs, in | nominal | hard | small gonads |\n|---|---|---|---|---|---|",
    );
    for study in &report.studies {
        let Study { name, recipe, .. } = study;
        let each = [study.nominal, study.hard, study.small]
            .map(|shares| shares.map(|share| format!("{:.2}", 100.0 * share)).join(" / "));
        line(
            text,
            &format!(
                "| {name} | {} | {}, {}, {} | {} |",
                recipe.seed,
                recipe.steps,
                recipe.eggs,
                recipe.precision(),
                each.join(" | ")
            ),
        );
    }
    text.push('\n');
}

fn speed(report: &Report, text: &mut String) {
    line(
        text,
        &format!(
            "## Speed\n\n![speed]({})\n\nMicroseconds of one core for each scan on the machine that trained it, the best of five rounds.\n",
            pictures::SPEED
        ),
    );
    let batches: Vec<&Speed> = report.speed.iter().filter(|speed| speed.precision == "fp32").collect();
    let heads: Vec<String> = batches.iter().map(|speed| format!("batch {}", speed.batch)).collect();
    line(text, &format!("| | {} |\n|---{}|", heads.join(" | "), "|---".repeat(heads.len())));
    for precision in ["fp32", "bf16"] {
        let of_it = report.speed.iter().filter(|speed| speed.precision == precision);
        let each: Vec<String> = of_it.map(|speed| format!("{}", speed.us_per_scan)).collect();
        line(text, &format!("| {precision} | {} |", each.join(" | ")));
    }
}

/// Nominal shares right of what was called, of the trainings that differ in nothing but their seed, and their steps: of the
/// largest such group, if there is one.
fn seeds(report: &Report) -> Option<(usize, Vec<f64>)> {
    let own = report.nominal_snr("nominal").map(|set| (&report.training, set.figures.called_right.value()));
    let studies = report.studies.iter().map(|study| (&study.recipe, study.nominal[0]));
    let all: Vec<_> = own.into_iter().chain(studies).collect();
    let like = |recipe: &Recipe| -> Vec<f64> {
        let same = |(other, _): &&(&Recipe, f64)| Recipe { seed: recipe.seed, ..(*other).clone() } == *recipe;
        all.iter().filter(same).map(|(_, right)| *right).collect()
    };
    let groups = all.iter().map(|(recipe, _)| (recipe.steps, like(recipe)));
    groups.filter(|(_, shares)| shares.len() > 1).max_by_key(|(_, shares)| shares.len())
}

/// In points.
fn spread(shares: &[f64]) -> f64 {
    let (low, high) = shares.iter().fold((1.0_f64, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    100.0 * (high - low)
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn percent(share: Share) -> String {
    format!("{:.2} %", 100.0 * share.value())
}

fn digits(share: f64) -> String {
    format!("{share:.4}")
}

/// A share, or a dash: where all eggs move there is none that keeps still.
fn of_any(share: Share) -> String {
    if share.of == 0 { "-".into() } else { digits(share.value()) }
}

fn interval(share: Share) -> String {
    share.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_no_eggs_is_a_dash() {
        assert_eq!(of_any(Share { hits: 0, of: 0 }), "-");
        assert_eq!(of_any(Share { hits: 31, of: 32 }), "0.9688");
    }
}
