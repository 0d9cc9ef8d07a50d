// The peer that is Node's `cluster`: hello, with the respawn that its documentation shows.
'use strict';

const cluster = require('cluster');
const http = require('http');

// With port 0 it would be on another port after its only worker has died.
const [policy, workers, port] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;

if (cluster.isPrimary) {
  for (let slot = 0; slot < workers; slot += 1) cluster.fork();
  cluster.on('listening', (_, address) => console.log(`listening on 127.0.0.1:${address.port}`));
  cluster.on('exit', () => cluster.fork());
} else {
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/plain; charset=utf-8');
    response.end('hello');
  });
  // As the others, and unlike its default of 5 s and 1000 connections in the middle of a measurement.
  server.keepAliveTimeout = 60000;
  server.listen(port, '127.0.0.1');
}
