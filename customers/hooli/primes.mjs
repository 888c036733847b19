import { json } from "./platform_module.mjs";

// A script that lives near its limits: ?below=10000000 works for longer than its CPU time allows, and ?fetches=10
// makes more subrequests than it may. As it is, it stays within both.
export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const primes = primesBelow(Number(searchParams.get("below") ?? 10_000));
    const fetches = Number(searchParams.get("fetches") ?? 1);
    for (let done = 0; done < fetches; done++) {
      await fetch("https://api.acme.internal/");
    }
    return json({ primes: primes.length, largest: primes.at(-1), fetches });
  },
};

function primesBelow(end) {
  const primes = [];
  for (let candidate = 2; candidate < end; candidate++) {
    if (isPrime(candidate, primes)) primes.push(candidate);
  }
  return primes;
}

function isPrime(candidate, primes) {
  for (const prime of primes) {
    if (prime * prime > candidate) return true;
    if (candidate % prime === 0) return false;
  }
  return true;
}
