// Joins two network namespaces by two TUN devices with a queue in each direction: a fixed delay one way, a rate, a bounded queue and random
// loss. For kernels without netem. Ours, like everything here; see tests/src/bench.rs for its use.
// usage: delaynet NS_A NS_B DEV_A DEV_B ONEWAY_US BITS_PER_S QUEUE_BYTES [LOSS_PPM]
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#include <errno.h>
#include <poll.h>
#include <time.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <sys/prctl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#define QN 65536
struct pkt{uint64_t due; uint16_t len; unsigned char *d;};
struct dir{int in,out; struct pkt q[QN]; unsigned h,t; uint64_t txfree; uint64_t backlog_ns_max; uint64_t n,bytes,drops;};
static struct dir D[2];
static volatile int stop;
static void on(int s){stop=1;}
static uint64_t now(){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec*1000000000ull+t.tv_nsec;}
static int mk(const char*ns,const char*dev){char p[256];snprintf(p,256,"/var/run/netns/%s",ns);int f=open(p,O_RDONLY);if(f<0||setns(f,CLONE_NEWNET)){perror("setns");exit(1);}close(f);
 int t=open("/dev/net/tun",O_RDWR|O_NONBLOCK);struct ifreq r;memset(&r,0,sizeof r);r.ifr_flags=IFF_TUN|IFF_NO_PI;strncpy(r.ifr_name,dev,IFNAMSIZ-1);if(ioctl(t,TUNSETIFF,&r)){perror("tunsetiff");exit(1);}return t;}
int main(int c,char**v){
 uint64_t lossppm=c>8?strtoull(v[8],0,10):0,delay=strtoull(v[5],0,10)*1000,rate=strtoull(v[6],0,10),qb=strtoull(v[7],0,10);
 int a=mk(v[1],v[3]),b=mk(v[2],v[4]);
 signal(SIGTERM,on);signal(SIGINT,on); prctl(PR_SET_TIMERSLACK,1000);
 D[0].in=a;D[0].out=b;D[1].in=b;D[1].out=a;
 for(int i=0;i<2;i++)D[i].backlog_ns_max=rate?qb*8*1000000000ull/rate:~0ull;
 int tf=timerfd_create(CLOCK_MONOTONIC,TFD_NONBLOCK);
 unsigned char buf[65536];
 while(!stop){
  uint64_t next=0;
  for(int i=0;i<2;i++)if(D[i].h!=D[i].t){uint64_t d=D[i].q[D[i].h%QN].due;if(!next||d<next)next=d;}
  struct itimerspec it={0};if(next){it.it_value.tv_sec=next/1000000000ull;it.it_value.tv_nsec=next%1000000000ull;}
  timerfd_settime(tf,TFD_TIMER_ABSTIME,&it,0);
  struct pollfd p[3]={{a,POLLIN,0},{b,POLLIN,0},{tf,POLLIN,0}};
  if(poll(p,3,-1)<0&&errno!=EINTR)break;
  uint64_t tmp; if(read(tf,&tmp,8)){}
  for(int i=0;i<2;i++){struct dir*x=&D[i];
   for(int k=0;k<64;k++){ssize_t n=read(x->in,buf,sizeof buf);if(n<=0)break;uint64_t t=now();
    if(x->txfree<t)x->txfree=t; if(rate&&x->txfree-t>x->backlog_ns_max){x->drops++;continue;}
    if(lossppm&&(uint64_t)(random()%1000000)<lossppm){x->drops++;continue;} if(x->t-x->h>=QN){x->drops++;continue;}
    if(rate)x->txfree+=(uint64_t)n*8*1000000000ull/rate;
    struct pkt*q=&x->q[x->t%QN];q->due=x->txfree+delay;q->len=n;q->d=malloc(n);memcpy(q->d,buf,n);x->t++;x->n++;x->bytes+=n;}
   uint64_t t=now();
   while(x->h!=x->t&&x->q[x->h%QN].due<=t){struct pkt*q=&x->q[x->h%QN];if(write(x->out,q->d,q->len)<0){}free(q->d);x->h++;}
  }
 }
 for(int i=0;i<2;i++)fprintf(stderr,"dir%d pkts=%lu bytes=%lu drops=%lu\n",i,D[i].n,D[i].bytes,D[i].drops);
 return 0;}
