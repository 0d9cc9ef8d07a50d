// The peer that is Node: its `cluster` module as it comes, with the default serialization.
'use strict';

const childProcess = require('child_process');
const cluster = require('cluster');

const [scene, workers, bytes] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const text = 'x'.repeat(bytes);

// So much is handed to Node at once, then its last message is waited for: enough to keep the workers
// busy. A plain loop lets Node's queue grow without bound, and is about half as fast.
const BURST_BYTES = 1024 * 1024;
const BURST = Math.max(4, Math.floor(BURST_BYTES / (bytes + 1024)));

if (scene === 'word') {
  // The forked one.
  process.send('word', () => process.disconnect());
} else if (cluster.isPrimary) {
  lead();
} else {
  follow();
}

function lead() {
  const all = [];
  let ready = 0;
  let done = 0;
  let begun;
  for (let slot = 0; slot < workers; slot += 1) {
    const worker = cluster.fork();
    all.push(worker);
    worker.on('message', (message) => {
      if (message.echo !== undefined) {
        worker.send({ echo: message.echo });
      } else if (message.ready) {
        ready += 1;
        if (ready === workers) console.log('ready');
      } else {
        done += 1;
        if (done < workers) return;
        done = 0;
        const elapsed = process.hrtime.bigint() - begun;
        console.log(scene === 'broadcast' ? String(elapsed) : message.elapsed);
      }
    });
  }
  // A line may come in parts, but no line comes before the answer to the one before.
  let line = '';
  process.stdin.on('data', (part) => {
    line += part;
    if (!line.endsWith('\n')) return;
    const count = Number(line);
    line = '';
    begun = process.hrtime.bigint();
    for (const worker of all) worker.send({ begin: count });
    if (scene === 'broadcast') tellAll(all, count);
  });
  process.stdin.on('end', () => process.exit(0));
}

async function tellAll(all, count) {
  for (let number = 0; number < count; number += 1) {
    const last = (number + 1) % BURST === 0;
    const sent = all.map((worker) => {
      if (!last) return worker.send({ number, text });
      return new Promise((resolve) => worker.send({ number, text }, resolve));
    });
    if (last) await Promise.all(sent);
  }
}

function follow() {
  let count = 0;
  let left = 0;
  let begun;
  const finish = () => {
    process.send({ elapsed: String(process.hrtime.bigint() - begun) });
  };
  process.on('message', (message) => {
    if (scene === 'fork') {
      forkAll(message.begin);
      return;
    }
    if (message.begin !== undefined) {
      count = message.begin;
      left = count;
      begun = process.hrtime.bigint();
      if (scene === 'round_trip') process.send({ echo: text });
      return;
    }
    if (scene === 'broadcast') {
      if (message.number !== count - left) throw new Error('a message is missed');
      left -= 1;
      if (left === 0) finish();
      return;
    }
    if (message.echo.length !== bytes) throw new Error('another text');
    left -= 1;
    if (left === 0) finish();
    else process.send({ echo: text });
  });
  process.send({ ready: true });
}

async function forkAll(count) {
  let elapsed = 0n;
  for (let number = 0; number < count; number += 1) {
    const begun = process.hrtime.bigint();
    const child = childProcess.fork(__filename, ['word']);
    child.once('message', () => { elapsed += process.hrtime.bigint() - begun; });
    await new Promise((resolve) => { child.once('exit', resolve); });
  }
  process.send({ elapsed: String(elapsed) });
}
