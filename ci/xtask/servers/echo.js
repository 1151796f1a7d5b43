// A server that answers each line with "echo " and the line, after a moment, so that timers are pending.
const net = require('net');

net.createServer(connection => {
  let unread = '';
  connection.on('data', data => {
    unread += data;
    for (let end; (end = unread.indexOf('\n')) >= 0;) {
      const line = unread.slice(0, end);
      unread = unread.slice(end + 1);
      setTimeout(() => connection.write('echo ' + line + '\n'), 1);
    }
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
