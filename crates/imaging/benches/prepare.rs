//! What preprocessing costs on one core. `cargo bench -p ovomesh-imaging`
#![allow(missing_docs)] // criterion's macro makes a public function

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ovomesh_imaging::{Header, Scratch, VolumeView, prepare};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};

fn benches(c: &mut Criterion) {
    for (name, grid) in
        [("64x64x16", Grid::STANDARD), ("64x64x64", Grid::FINE), ("128x128x128", Grid::FINEST)]
    {
        let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
        // Several eggs, so that no branch predictor learns one by heart.
        let scans: Vec<Vec<u8>> = (0..16)
            .map(|seed| {
                let egg = Phantom::new(&Profile::nominal(), Class::Female, seed).render(&grid);
                Scanner::default()
                    .acquire(&egg, &mut rng(seed))
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect()
            })
            .collect();
        let mut scratch = Scratch::default();
        let mut index = 0;
        c.bench_function(&format!("prepare {name}"), |b| {
            b.iter(|| {
                index = (index + 1) % scans.len();
                let view = VolumeView::new(header, black_box(&scans[index])).expect("valid");
                prepare(&view, &mut scratch)
            });
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
