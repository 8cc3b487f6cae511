// A flow that `nice-np export --to web` has written: encode, decode, log p(x), and the gradients of both directions.
//
// One image at a time, a Float64Array of D pixels in [0, 1]. Every layer has
//
//     forward(layer, x)       -> { y, logDet, cache }     y = f(x),  log|det df/dx|
//     backward(layer, dy, c)  -> dL/dx                    of L(y) + log|det df/dx|, given dL/dy
//     inverse(layer, y)       -> { x, cache }             x = f^-1(y)
//     pullback(layer, dx, c)  -> dL/dy                    of L(x), given dL/dx
//
// Classes and attributes are named as in Python; nice_np/bijectors and nice_np/families derive the formulas.
"use strict";

// -- how a coupling's network says log s: of r, and d log s / dr written in log s ----------------------------------------

const SCALES = {
  ExpScale: { log: (r) => r, slope: () => 1 },
  TanhScale: { log: (r, { bound }) => bound * Math.tanh(r / bound), slope: (l, { bound }) => 1 - (l / bound) ** 2 },
  SigmoidScale: { log: (r) => -Math.log1p(Math.exp(-(r + 2))), slope: (l) => -Math.expm1(l) },
  SoftplusScale: {
    log: (r, { shift }) => Math.log(Math.max(r + shift, 0) + Math.log1p(Math.exp(-Math.abs(r + shift)))),
    slope: (l) => -Math.expm1(-Math.exp(l)) / Math.exp(l),
  },
  SoftclipScale: { log: (r, { bound }) => r / (1 + Math.abs(r) / bound), slope: (l, { bound }) => (1 - Math.abs(l) / bound) ** 2 },
  FlooredSigmoidScale: {
    log: (r, { floor }) => Math.log(1 / (1 + Math.exp(-(r + 2))) + floor),
    slope: (l, { floor }) => (Math.exp(l) - floor) * (1 - Math.exp(l) + floor) / Math.exp(l),
  },
};

function logScales(scale, r) {
  const { low = -Infinity, high = Infinity } = scale, { log } = SCALES[scale.class];
  return r.map((value) => log(Math.min(Math.max(value, low ?? -Infinity), high ?? Infinity), scale));
}

function scalesBackward(scale, dlogS, r, logS) {
  const { slope } = SCALES[scale.class];
  return dlogS.map((d, k) => (r[k] > (scale.low ?? -Infinity) && r[k] < (scale.high ?? Infinity) ? d * slope(logS[k], scale) : 0));
}

// -- the laws of couplings: y_b = x_b s + t, theta from the network -------------------------------------------------------

const LAWS = {
  AdditiveCoupling: (layer, theta) => ({ t: theta }),
  MultiplicativeCoupling: (layer, theta) => ({ r: theta, logS: logScales(layer.scale, theta) }),
  AffineCoupling(layer, theta) {
    const r = theta.subarray(0, theta.length / 2);
    return { r, logS: logScales(layer.scale, r), t: theta.subarray(theta.length / 2) };
  },
};

// dL/dtheta from dL/dlog s and dL/dt; a law without one of them has no such part.
function thetaBackward({ scale }, { r, logS, t }, dlogS, dt) {
  const parts = [...(r ? [scalesBackward(scale, dlogS, r, logS)] : []), ...(t ? [dt] : [])];
  const dtheta = new Float64Array(parts.length * dt.length);
  parts.forEach((part, k) => dtheta.set(part, k * dt.length));
  return dtheta;
}

const COUPLING = {
  forward(layer, x) {
    const [x_a, x_b] = split(layer.partition, x);
    const { y: theta, cache: network } = NETWORKS[layer.conditioner.class].forward(layer.conditioner, x_a);
    const law = LAWS[layer.class](layer, theta), { logS, t } = law;
    const y_b = x_b.map((value, k) => value * (logS ? Math.exp(logS[k]) : 1) + (t ? t[k] : 0));
    return { y: merge(layer.partition, x_a, y_b), logDet: logS ? sum(logS) : 0, cache: { network, law, x_b } };
  },

  backward(layer, dy, { network, law, x_b }) {
    const [dy_a, dy_b] = split(layer.partition, dy), { logS } = law;
    const s = (k) => (logS ? Math.exp(logS[k]) : 1);
    const dlogS = dy_b.map((d, k) => d * x_b[k] * s(k) + 1);  // log s acts through y_b = x_b s + t and through log|det|
    const dtheta = thetaBackward(layer, law, dlogS, dy_b);
    const through = NETWORKS[layer.conditioner.class].backward(layer.conditioner, dtheta, network);
    return merge(layer.partition, dy_a.map((d, k) => d + through[k]), dy_b.map((d, k) => d * s(k)));  // x_a acts twice
  },

  inverse(layer, y) {
    const [y_a, y_b] = split(layer.partition, y);
    const { y: theta, cache: network } = NETWORKS[layer.conditioner.class].forward(layer.conditioner, y_a);
    const law = LAWS[layer.class](layer, theta), { logS, t } = law;
    const x_b = y_b.map((value, k) => (value - (t ? t[k] : 0)) * (logS ? Math.exp(-logS[k]) : 1));
    return { x: merge(layer.partition, y_a, x_b), cache: { network, law, x_b } };
  },

  pullback(layer, dx, { network, law, x_b }) {
    const [dx_a, dx_b] = split(layer.partition, dx);
    const dy_b = dx_b.map((d, k) => d * (law.logS ? Math.exp(-law.logS[k]) : 1));  // x_b = (y_b - t) / s
    const dtheta = thetaBackward(layer, law, dx_b.map((d, k) => -d * x_b[k]), dy_b.map((d) => -d));
    const through = NETWORKS[layer.conditioner.class].backward(layer.conditioner, dtheta, network);
    return merge(layer.partition, dx_a.map((d, k) => d + through[k]), dy_b);
  },
};

// -- layers that need no network -----------------------------------------------------------------------------------------

// y_i = x_i s_i + t_i of fixed s and t, computed once.
const elementwise = (factors) => {
  const known = (layer, D) => (layer.known ??= factors(layer, D));
  return {
    forward(layer, x) {
      const { s, t } = known(layer, x.length);
      return { y: x.map((value, i) => value * s[i] + t[i]), logDet: sum(s.map((value) => Math.log(value))) };
    },
    backward: (layer, dy) => dy.map((d, i) => d * known(layer, dy.length).s[i]),
    inverse(layer, y) {
      const { s, t } = known(layer, y.length);
      return { x: y.map((value, i) => (value - t[i]) / s[i]) };
    },
    pullback: (layer, dx) => dx.map((d, i) => d / known(layer, dx.length).s[i]),
  };
};

const each = (D, value) => Float64Array.from({ length: D }, (_, i) => value(i));

// W = P L U at each pixel, and its inverse; log|det W| is the sum of log_diagonal.
function matrices(layer) {
  const { order, signs, lower, upper, log_diagonal } = layer, C = order.length;
  const L = new Float64Array(C * C), U = new Float64Array(C * C), W = new Float64Array(C * C), inverse = new Float64Array(C * C);
  for (let i = 0, below = 0, above = 0; i < C; i++) {
    for (let j = 0; j < i; j++) L[i * C + j] = lower[below++];
    L[i * C + i] = 1;
    U[i * C + i] = signs[i] * Math.exp(log_diagonal[i]);
    for (let j = i + 1; j < C; j++) U[i * C + j] = upper[above++];
  }
  const LU = timesTransposed(L, transposed(U, C), C);
  for (let i = 0; i < C; i++) W.set(LU.subarray(order[i] * C, (order[i] + 1) * C), i * C);  // (P y)_i = y_order[i]
  for (let j = 0; j < C; j++) {  // column j of W^-1 solves L U v = P^T e_j, where P^T e_j is e_order[j]
    const v = new Float64Array(C);
    v[order[j]] = 1;
    for (let i = 0; i < C; i++) for (let k = 0; k < i; k++) v[i] -= L[i * C + k] * v[k];
    for (let i = C - 1; i >= 0; i--) {
      for (let k = i + 1; k < C; k++) v[i] -= U[i * C + k] * v[k];
      v[i] /= U[i * C + i];
    }
    for (let i = 0; i < C; i++) inverse[i * C + j] = v[i];
  }
  return { W, WT: transposed(W, C), inverse, inverseT: transposed(inverse, C) };
}

// A (C, C) times the channels of each pixel; x is planes (C, P), so that is A x = (x^T A^T)^T.
function mixed(A, x) {
  const C = Math.sqrt(A.length), P = x.length / C;
  return transposed(timesTransposed(transposed(x, P), A, C), C);
}

const knotsOf = (layer) => (layer.known ??= knots(layer));
const knots = ({ shares }) => {
  const total = sum(shares), K = shares.length, below = [0];
  for (const share of shares) below.push(below[below.length - 1] + share / total);
  return { edges: each(K + 1, (k) => k / K), below, slopes: each(K, (k) => K * shares[k] / total) };
};

const matricesOf = (layer) => (layer.known ??= matrices(layer));

const LAYERS = {
  Chain: {
    forward({ layers }, x) {
      const caches = [];
      let logDet = 0;
      for (const layer of layers) {
        const step = LAYERS[layer.class].forward(layer, x);
        caches.push(step.cache);
        logDet += step.logDet;
        x = step.y;
      }
      return { y: x, logDet, cache: caches };
    },
    backward({ layers }, dy, caches) {
      for (let k = layers.length - 1; k >= 0; k--) dy = LAYERS[layers[k].class].backward(layers[k], dy, caches[k]);
      return dy;
    },
    inverse({ layers }, y) {
      const caches = [];
      for (let k = layers.length - 1; k >= 0; k--) {
        const step = LAYERS[layers[k].class].inverse(layers[k], y);
        caches[k] = step.cache;
        y = step.x;
      }
      return { x: y, cache: caches };
    },
    pullback({ layers }, dx, caches) {
      layers.forEach((layer, k) => { dx = LAYERS[layer.class].pullback(layer, dx, caches[k]); });
      return dx;
    },
  },

  OnPart: {  // the bijector of x_a, past x_b
    forward({ partition, bijector }, x) {
      const [x_a, x_b] = split(partition, x), { y, logDet, cache } = LAYERS[bijector.class].forward(bijector, x_a);
      return { y: merge(partition, y, x_b), logDet, cache };
    },
    backward({ partition, bijector }, dy, cache) {
      const [dy_a, dy_b] = split(partition, dy);
      return merge(partition, LAYERS[bijector.class].backward(bijector, dy_a, cache), dy_b);
    },
    inverse({ partition, bijector }, y) {
      const [y_a, y_b] = split(partition, y), { x, cache } = LAYERS[bijector.class].inverse(bijector, y_a);
      return { x: merge(partition, x, y_b), cache };
    },
    pullback({ partition, bijector }, dx, cache) {
      const [dx_a, dx_b] = split(partition, dx);
      return merge(partition, LAYERS[bijector.class].pullback(bijector, dx_a, cache), dx_b);
    },
  },

  AdditiveCoupling: COUPLING,
  MultiplicativeCoupling: COUPLING,
  AffineCoupling: COUPLING,

  Permutation: {  // y_j = x_order[j]
    forward: ({ order }, x) => ({ y: take(x, order), logDet: 0 }),
    backward: ({ order }, dy) => put(dy, order),
    inverse: ({ order }, y) => ({ x: put(y, order) }),
    pullback: ({ order }, dx) => take(dx, order),
  },

  LULinear: {
    forward(layer, x) {
      return { y: mixed(matricesOf(layer).W, x), logDet: layer.pixels * sum(layer.log_diagonal) };
    },
    backward: (layer, dy) => mixed(matricesOf(layer).WT, dy),
    inverse: (layer, y) => ({ x: mixed(matricesOf(layer).inverse, y) }),
    pullback: (layer, dx) => mixed(matricesOf(layer).inverseT, dx),
  },

  ActNorm: elementwise(({ pixels, b, log_s }, D) => {  // y = (x + b) exp(log_s), the same at all pixels of a channel
    const channel = (i) => Math.floor(i / pixels), s = each(D, (i) => Math.exp(log_s[channel(i)]));
    return { s, t: each(D, (i) => b[channel(i)] * s[i]) };
  }),
  DiagonalScaling: elementwise(({ log_scale }, D) => ({ s: log_scale.map(Math.exp), t: each(D, () => 0) })),
  Standardize: elementwise(({ mean, std }) => ({ s: std.map((value) => 1 / value), t: mean.map((value, i) => -value / std[i]) })),
  Rescale: elementwise(({ low, width }, D) => ({ s: each(D, () => width), t: each(D, () => low) })),

  Equalize: {  // y = F(x), straight lines between the knots (k / K, p_0 + .. + p_{k-1})
    forward(layer, x) {
      const { edges, below, slopes } = knotsOf(layer), K = slopes.length;
      const k = x.map((value) => Math.min(Math.max(Math.floor(K * value), 0), K - 1));
      const slope = k.map((i) => slopes[i]);
      const y = x.map((value, i) => below[k[i]] + slope[i] * (value - edges[k[i]]));
      return { y, logDet: sum(slope.map(Math.log)), cache: slope };
    },
    backward: (layer, dy, slope) => dy.map((d, i) => d * slope[i]),  // dlogDet/dx = 0
    inverse(layer, y) {
      const { edges, below, slopes } = knotsOf(layer), K = slopes.length;
      const k = y.map((value) => Math.max(0, below.findLastIndex((edge, i) => i < K && edge <= value)));
      const slope = k.map((i) => slopes[i]);
      return { x: y.map((value, i) => edges[k[i]] + (value - below[k[i]]) / slope[i]), cache: slope };
    },
    pullback: (layer, dx, slope) => dx.map((d, i) => d / slope[i]),
  },

  Logit: {  // y = log u - log v, u = x + m, v = 1 - x + m
    forward({ margin, width }, x) {
      const u = x.map((value) => value + margin), v = x.map((value) => 1 - value + margin);
      const y = u.map((value, i) => Math.log(value) - Math.log(v[i]));
      return { y, logDet: sum(u.map((value, i) => Math.log(width) - Math.log(value) - Math.log(v[i]))), cache: { u, v } };
    },
    backward: (layer, dy, { u, v }) => dy.map((d, i) => (d - 1) / u[i] + (d + 1) / v[i]),  // dlogDet/dx = -1/u + 1/v
    inverse({ margin, width }, y) {
      const end = y.map((value) => width / (1 + Math.exp(Math.abs(value))) - margin);  // distance from the nearer end
      return { x: end.map((value, i) => (y[i] < 0 ? value : 1 - value)), cache: y };
    },
    pullback: ({ width }, dx, y) => dx.map((d, i) => d * width / (2 + 2 * Math.cosh(y[i]))),  // dx/dy = width p (1 - p)
  },
};

// -- the flow --------------------------------------------------------------------------------------------------------------

const PRIORS = {
  StandardNormal: {
    log: (z) => -0.5 * z * z - 0.5 * Math.log(2 * Math.PI),
    slope: (z) => -z,
    draw: ({ normal }) => normal(),
  },
  StandardLogistic: {
    log: (z) => -Math.abs(z) - 2 * Math.log1p(Math.exp(-Math.abs(z))),
    slope: (z) => -Math.tanh(0.5 * z),
    draw: ({ uniform }) => { const u = uniform() || 0.5; return Math.log(u) - Math.log1p(-u); },
  },
};

class Flow {
  constructor({ about, flow, numbers }) {
    Object.assign(this, new Numbers(numbers).build(flow), { about });
    this.layer = LAYERS[this.bijector.class];
    this.law = PRIORS[this.prior.class];
  }

  // x -> { z, logDet, logPrior, logProb }, nats
  encode(x) {
    const { y: z, logDet, cache } = this.layer.forward(this.bijector, x), logPrior = sum(z.map(this.law.log));
    return { z, logDet, logPrior, logProb: logPrior + logDet, cache };
  }

  // x -> { logProb, gradient }, d log p(x) / dx
  score(x) {
    const { z, logProb, cache } = this.encode(x);
    return { logProb, gradient: this.layer.backward(this.bijector, z.map(this.law.slope), cache) };
  }

  // z -> x
  decode(z) {
    return this.layer.inverse(this.bijector, z).x;
  }

  // z -> { x, pullback }: pullback(dL/dx) is dL/dz
  decodeWithPullback(z) {
    const { x, cache } = this.layer.inverse(this.bijector, z);
    return { x, pullback: (dx) => this.layer.pullback(this.bijector, dx, cache) };
  }

  logPrior(z) {
    return sum(z.map(this.law.log));
  }

  draw(random) {
    return Float64Array.from({ length: this.dim }, () => this.law.draw(random));
  }

  bitsPerDim(logProb, binWidth = 1 / 256) {
    return (-logProb - this.dim * Math.log(binWidth)) / (this.dim * Math.log(2));
  }
}
