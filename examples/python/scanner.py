"""A scanner: connects to a gateway, says Hello, sends one scan, prints what is answered.

    pip install -r requirements.txt
    python scanner.py                          an egg that is only an ellipsoid with noise
    python scanner.py --volume scan.npy        u16, axes (slice, row, column); see --spacing
"""
import argparse, pathlib, sys, tempfile, uuid
import grpc, grpc_tools, numpy
from grpc_tools import protoc

# Compile the contract. A real scanner does this when it is built, not when it runs.
proto, stubs = pathlib.Path(__file__).resolve().parents[2] / "proto", tempfile.TemporaryDirectory()
files = [str(file) for package in ("scan", "scanner") for file in proto.glob(f"ovomesh/{package}/v1/*.proto")]
includes = [f"-I{proto}", f"-I{pathlib.Path(grpc_tools.__file__).parent / '_proto'}"]
if protoc.main(["protoc", *includes, f"--python_out={stubs.name}", f"--grpc_python_out={stubs.name}", *files]):
    sys.exit("the proto files could not be compiled")
sys.path.insert(0, stubs.name)
from ovomesh.scan.v1 import scan_pb2 as scan
from ovomesh.scanner.v1 import scanner_pb2 as scanner, scanner_pb2_grpc as service


def synthetic():
    """64 x 64 x 16 samples: an egg of albumen, a yolk, an embryo's trunk; Rician noise."""
    z, y, x = numpy.meshgrid(numpy.arange(-7.5, 8) * 2.8, numpy.arange(-32, 32), numpy.arange(-32, 32), indexing="ij")
    ball = lambda cx, cy, cz, a, b, c: ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + ((z - cz) / c) ** 2 < 1
    clean = 1100.0 * ball(0, 0, 0, 27, 21, 20) + 400 * ball(2, -9, 0, 14, 9, 9) - 200 * ball(0, 6, 0, 14, 5, 5)
    noise = numpy.random.default_rng().normal(0, 30, (2, *clean.shape))
    return numpy.hypot(clean + noise[0], noise[1]).round().astype("<u2")


flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
flags.add_argument("--gateway", default="127.0.0.1:7700", metavar="HOST:PORT")
flags.add_argument("--volume", metavar="FILE.npy")
flags.add_argument("--spacing", default=[1.0, 1.0, 2.8], nargs=3, type=float, metavar="MM", help="along x, y and z")
flags = flags.parse_args()
samples = numpy.load(flags.volume).astype("<u2") if flags.volume else synthetic()
(slices, rows, columns), (sx, sy, sz) = samples.shape, flags.spacing

hello = scanner.Hello(scanner=scanner.Scanner(vendor="example", model="python"), protocol_version=1)
volume = scan.Volume(columns=columns, rows=rows, slices=slices, spacing_x_mm=sx, spacing_y_mm=sy, spacing_z_mm=sz,
                     samples=samples.tobytes())
egg = scan.Scan(scan_id=str(uuid.uuid4()), volume=volume, purpose=scan.PURPOSE_TEST,
                place=scan.Place(site="example", line="python"))
egg.budget.FromMilliseconds(2000)

# When the last request is sent the server answers what is left and ends the stream.
requests = [scanner.ConnectRequest(hello=hello), scanner.ConnectRequest(scan=egg)]
decided = False
with grpc.insecure_channel(flags.gateway) as channel:
    for answer in service.ScannerServiceStub(channel).Connect(iter(requests), timeout=30):
        print(answer)
        decided |= answer.HasField("verdict")
sys.exit(not decided)
