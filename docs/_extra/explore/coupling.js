// A flow of the plane of eight affine couplings, and the gradient of its loss, by hand:
//
//     h = tanh(w u + b),  log s = 2 tanh((R.h + r) / 2),  shift = T.h + t
//     v' = v s + shift,   u' = u,   log|det| = log s
//
// P holds the weights of all couplings in one vector; views() finds those of one. x is [x_1, x_2, x_1, x_2, ...].
// Coupling k keeps u = x_1 if k = 0, 2, 4, ..., and u = x_2 otherwise.

"use strict";

const COUPLINGS = 8, HIDDEN = 32, BOUND = 2;
const SIZES = { w: HIDDEN, b: HIDDEN, R: HIDDEN, r: 1, T: HIDDEN, t: 1 };  // the weights of a coupling, in this order
const PER_COUPLING = Object.values(SIZES).reduce((a, b) => a + b);

// Wrong gradients to plant, and their names.
const BUGS = {
  none: "none",
  sign: "log-det: sign",
  kept: "u acts twice: forgotten",
  tanh: "tanh′ missing",
  input: "scale: factor v missing",
  shift: "shift: divided by s",
};
let bug = "none";

function views(P, k) {
  let start = k * PER_COUPLING;
  return Object.fromEntries(Object.entries(SIZES).map(([name, size]) => [name, P.subarray(start, (start += size))]));
}

function forward(P, k, x, logDet, lambda = 1) {
  const { w, b, R, r, T, t } = views(P, k), N = x.length / 2, kept = k % 2;
  const y = x.slice(), h = new Float64Array(N * HIDDEN), logS = new Float64Array(N);
  for (let n = 0; n < N; n++) {
    const u = x[2 * n + kept];
    let scale = r[0], shift = t[0];
    for (let j = 0; j < HIDDEN; j++) {
      const unit = h[n * HIDDEN + j] = Math.tanh(w[j] * u + b[j]);
      scale += R[j] * unit;
      shift += T[j] * unit;
    }
    logS[n] = BOUND * Math.tanh(lambda * scale / BOUND);
    y[2 * n + 1 - kept] = x[2 * n + 1 - kept] * Math.exp(logS[n]) + lambda * shift;
    logDet[n] += logS[n];
  }
  return { y, cache: { x, h, logS } };
}

// dL/dy and dL/dlogDet in, dL/dx out; dL/dP is written into G.
function backward(P, G, k, dy, dlogDet, { x, h, logS }) {
  const { w, R, T } = views(P, k), g = views(G, k), N = x.length / 2, kept = k % 2;
  const dx = dy.slice();
  for (let n = 0; n < N; n++) {
    const u = x[2 * n + kept], v = x[2 * n + 1 - kept], s = Math.exp(logS[n]), dv = dy[2 * n + 1 - kept];
    const dshift = bug === "shift" ? dv / s : dv;
    // v' = v s + shift, and log|det| = log s: log s acts through both
    const dlogS = dv * (bug === "input" ? 1 : v) * s + (bug === "sign" ? -1 : 1) * dlogDet[n];
    const dscale = dlogS * (1 - (logS[n] / BOUND) ** 2);  // tanh' = 1 - tanh^2
    let du = 0;
    for (let j = 0; j < HIDDEN; j++) {
      const unit = h[n * HIDDEN + j];
      g.R[j] += dscale * unit;
      g.T[j] += dshift * unit;
      const da = (dscale * R[j] + dshift * T[j]) * (bug === "tanh" ? 1 : 1 - unit * unit);  // h = tanh(a), a = w u + b
      g.w[j] += da * u;
      g.b[j] += da;
      du += da * w[j];
    }
    g.r[0] += dscale;
    g.t[0] += dshift;
    dx[2 * n + 1 - kept] = dv * s;
    dx[2 * n + kept] = dy[2 * n + kept] + (bug === "kept" ? 0 : du);  // u acts twice: as u', and through the network
  }
  return dx;
}

// In place. Of lambda = 0 the coupling is the identity, of lambda = 1 it is whole.
function inverse(P, k, y, lambda = 1) {
  const { w, b, R, r, T, t } = views(P, k), kept = k % 2;
  for (let n = 0; n < y.length / 2; n++) {
    let scale = r[0], shift = t[0];
    for (let j = 0; j < HIDDEN; j++) {
      const unit = Math.tanh(w[j] * y[2 * n + kept] + b[j]);
      scale += R[j] * unit;
      shift += T[j] * unit;
    }
    const logS = BOUND * Math.tanh(lambda * scale / BOUND);
    y[2 * n + 1 - kept] = (y[2 * n + 1 - kept] - lambda * shift) * Math.exp(-logS);
  }
}

// The flow: all couplings, and a normal prior.

// whole[k] is lambda of coupling k.
const WHOLE = Array(COUPLINGS).fill(1);

function encode(P, x, whole = WHOLE) {
  const logDet = new Float64Array(x.length / 2), caches = [];
  for (let k = 0; k < COUPLINGS; k++) {
    const { y, cache } = forward(P, k, x, logDet, whole[k]);
    caches.push(cache);
    x = y;
  }
  return { z: x, logDet, caches };
}

function decode(P, z, whole = WHOLE) {
  const x = z.slice();
  for (let k = COUPLINGS - 1; k >= 0; k--) inverse(P, k, x, whole[k]);
  return x;
}

const logProb = ({ z, logDet }) =>
  logDet.map((value, n) => value - 0.5 * (z[2 * n] ** 2 + z[2 * n + 1] ** 2) - Math.log(2 * Math.PI));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

// The loss -mean log p(x) of a batch, and its gradient in G.
function lossAndGradient(P, G, x) {
  const { z, logDet, caches } = encode(P, x), N = x.length / 2;
  G.fill(0);
  let dz = z.map((value) => value / N);  // -log p_Z = |z|^2 / 2 + const
  const dlogDet = new Float64Array(N).fill(-1 / N);
  for (let k = COUPLINGS - 1; k >= 0; k--) dz = backward(P, G, k, dz, dlogDet, caches[k]);
  return -mean(logProb({ z, logDet }));
}
