"""The time of one run of each model, one after the other, on ONNX Runtime: ROUNDS MODEL..."""

import sys
import time

import numpy
import onnxruntime as ort

rounds, paths = int(sys.argv[1]), sys.argv[2:]
x = numpy.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=numpy.float32)
levels = ("off", ort.GraphOptimizationLevel.ORT_DISABLE_ALL), ("default", ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
print(f"\nONNX Runtime {ort.__version__}, one sample       median       best")
for level, value in levels:
    for threads in 1, 0:
        options = ort.SessionOptions()
        options.graph_optimization_level, options.intra_op_num_threads = value, threads
        sessions = [ort.InferenceSession(path, options, ["CPUExecutionProvider"]) for path in paths]
        times = []
        for round in range(rounds + 1):
            start = time.perf_counter()
            for session in sessions:
                session.run(None, {session.get_inputs()[0].name: x})
            times.append(1e3 * (time.perf_counter() - start))
        times = sorted(times[1:])
        title = f"both, optimisations {level}, {threads or 'all'} thr."
        print(f"{title:<36} {times[rounds // 2]:>5.1f} ms {times[0]:>7.1f} ms")
