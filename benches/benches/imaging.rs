//! What preprocessing, the quality figures and DICOM cost. `cargo bench -p ovomesh-benches --bench imaging`
#![allow(missing_docs)] // criterion's macro makes a public function

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ovomesh_imaging::dicom::{self, Device, Label, series_uid, write_enhanced, write_series};
use ovomesh_imaging::{Header, Scratch, Volume, prepare, quality};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};

const GRIDS: [(&str, Grid); 3] =
    [("64x64x16", Grid::STANDARD), ("64x64x64", Grid::FINE), ("128x128x128", Grid::FINEST)];

/// Several eggs, so that no branch predictor learns one by heart.
fn volumes(grid: &Grid) -> Vec<Volume> {
    let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
    let scan = |seed| {
        let egg = Phantom::new(&Profile::nominal(), Class::Female, seed).render(grid);
        let samples = Scanner::default().acquire(&egg, &mut rng(seed));
        Volume::from_u16(header, &samples).expect("a phantom is a valid volume")
    };
    (0..16).map(scan).collect()
}

fn preprocessing(c: &mut Criterion) {
    for (name, grid) in GRIDS {
        let volumes = volumes(&grid);
        let mut next = volumes.iter().cycle();
        let mut scratch = Scratch::default();
        c.bench_function(&format!("prepare {name}"), |b| {
            b.iter(|| next.next().map(|volume| prepare(&black_box(volume).view(), &mut scratch)));
        });
        c.bench_function(&format!("quality {name}"), |b| {
            b.iter(|| next.next().map(|volume| quality(&black_box(volume).view(), &mut scratch)));
        });
    }
}

fn reading(c: &mut Criterion) {
    let volume = &volumes(&Grid::STANDARD)[0];
    let label = Label {
        series_uid: series_uid(1),
        egg_id: "egg-1".to_owned(),
        acquired: jiff::civil::date(2026, 11, 24).at(9, 30, 0, 0),
        device: Device::default(),
    };
    let enhanced = write_enhanced(volume, &label).expect("a valid volume can be written");
    let slices = write_series(volume, &label).expect("a valid volume can be written");
    c.bench_function("read DICOM 64x64x16, one file", |b| {
        b.iter(|| dicom::read([("egg.dcm", black_box(&enhanced[..]))], &[]));
    });
    c.bench_function("read DICOM 64x64x16, a file a slice", |b| {
        b.iter(|| dicom::read(slices.iter().map(|bytes| ("slice.dcm", black_box(&bytes[..]))), &[]));
    });
}

criterion_group!(all, preprocessing, reading);
criterion_main!(all);
